import { Session, type SessionServices } from "./session.ts";

/** The folded sessions in memory: the least recently used idle ones are forgotten first. */
export class SessionCache {
  readonly #services: SessionServices;
  readonly #most: number;
  readonly #sessions = new Map<string, Session>();

  constructor(services: SessionServices, most: number) {
    this.#services = services;
    this.#most = most;
  }

  get(sessionId: string): Session {
    let session = this.#sessions.get(sessionId);
    if (session === undefined) {
      session = new Session(sessionId, this.#services);
      if (this.#sessions.size >= this.#most) this.#forgetOne();
    } else {
      this.#sessions.delete(sessionId); // A Map keeps the order of insertion: the newest use goes last.
    }
    this.#sessions.set(sessionId, session);
    return session;
  }

  /** Waits for every command that has been given. */
  async drain(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.idle()));
  }

  #forgetOne(): void {
    for (const [id, session] of this.#sessions) {
      if (!session.isIdle) continue;
      this.#sessions.delete(id);
      return;
    }
  }
}
