import { type FSWatcher, watch } from "node:fs";

const POLL_MS = 300;
/** The file changes before the commit in it can be seen: looked at again so much later. */
const LOOK_AGAIN_MS = [1, 5];

/**
 * Notices commits of other processes: the WAL file is watched, and as a backup, since not every file system tells
 * of changes, looked at every now and then. Holds the process open while it is started: who follows a log waits for
 * what others write, and nothing else might keep the process from ending first.
 */
export class ChangeWatcher {
  readonly #walPath: string;
  readonly #look: () => void;
  #watcher: FSWatcher | undefined;
  #poll: NodeJS.Timeout | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();
  /** Since the timers were set. */
  #hasChangedSince = false;

  /** @param look is called whenever something may have changed; must not throw. */
  constructor(path: string, look: () => void) {
    this.#walPath = `${path}-wal`;
    this.#look = look;
  }

  start(): void {
    if (this.#poll !== undefined) return;
    this.#watch();
    this.#poll = setInterval(() => {
      // A reader may have come before the first writer made the WAL.
      if (this.#watcher === undefined) this.#watch();
      this.#look();
    }, POLL_MS);
  }

  stop(): void {
    clearInterval(this.#poll);
    this.#poll = undefined;
    this.#unwatch();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #watch(): void {
    try {
      this.#watcher = watch(this.#walPath, { persistent: false }, () => this.#changed());
      this.#watcher.on("error", () => this.#unwatch());
    } catch {
      // No such file yet, or no way to watch it: the poll goes on.
      this.#watcher = undefined;
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #changed(): void {
    this.#look();
    if (this.#timers.size > 0) this.#hasChangedSince = true;
    else this.#lookAgain();
  }

  #lookAgain(): void {
    this.#hasChangedSince = false;
    for (const delayMs of LOOK_AGAIN_MS) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#look();
        if (this.#timers.size === 0 && this.#hasChangedSince) this.#lookAgain();
      }, delayMs);
      timer.unref();
      this.#timers.add(timer);
    }
  }
}
