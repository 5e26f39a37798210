import { emitKeypressEvents } from "node:readline";
import type { Replay } from "../forensics/replay.ts";
import { ReplayPlayer } from "../forensics/replay-player.ts";
import type { CliContext } from "./cli-context.ts";
import { ReplayTranscript } from "./replay-transcript.ts";
import { terminalLine, truncateText } from "./terminal-text.ts";

/** A screen of its own, left as it was found; the cursor hidden. */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const TO_LINE_END = "\u001b[K";
const TO_SCREEN_END = "\u001b[J";

const ROWS_ELSEWHERE = 24;
const FASTEST = 64;

type KeyboardInput = CliContext["streams"]["stdin"] & { setRawMode?(isRaw: boolean): void };
type Screen = CliContext["streams"]["stdout"] & { readonly rows?: number };

export type ReplayEnd = { point: string | undefined; isInterrupted: boolean };

/** Plays on the terminal until q, Ctrl-C or the signal. Resolves to the point that was shown last. */
export async function playOnTerminal(
  replay: Replay,
  options: { speed: number; signal: AbortSignal },
  context: CliContext,
): Promise<ReplayEnd> {
  const stdin = context.streams.stdin as KeyboardInput;
  const stdout = context.streams.stdout as Screen;
  const view = new ReplayView(replay, options.speed, context);
  let failure: unknown;
  const isInterrupted = await new Promise<boolean>((resolve) => {
    const end = (isInterrupted: boolean): void => {
      stdin.off("keypress", onKey);
      stdin.off("end", onEnd);
      stdout.off("resize", view.show);
      options.signal.removeEventListener("abort", onAbort);
      view.stop();
      stdin.setRawMode?.(false);
      stdin.pause(); // Else it would keep the process.
      resolve(isInterrupted);
    };
    const onKey = (
      _text: string | undefined,
      key: { name?: string; sequence?: string; ctrl?: boolean },
    ): void => {
      if (key.ctrl === true && key.name === "c") end(true);
      else if (key.name === "q") end(false);
      else view.press(key.name ?? key.sequence ?? "");
    };
    const onEnd = (): void => end(false);
    const onAbort = (): void => end(true);
    emitKeypressEvents(stdin);
    stdin.setRawMode?.(true);
    stdin.on("keypress", onKey);
    stdin.on("end", onEnd);
    stdin.resume();
    stdout.on("resize", view.show);
    options.signal.addEventListener("abort", onAbort);
    view.start((error) => {
      failure = error;
      end(false);
    });
  });
  await context.out.write(LEAVE).catch(() => undefined); // The failure below says why, if anything has to.
  if (failure !== undefined) throw failure;
  return { point: view.point, isInterrupted };
}

class ReplayView {
  readonly #replay: Replay;
  readonly #context: CliContext;
  readonly #player: ReplayPlayer;
  readonly #transcript: ReplayTranscript;
  #taken = 0;
  #startedAt: number;
  #onFailure: (error: unknown) => void = () => undefined;

  constructor(replay: Replay, speed: number, context: CliContext) {
    this.#replay = replay;
    this.#context = context;
    this.#startedAt = replay.steps[0]?.time ?? 0;
    this.#transcript = new ReplayTranscript(context.out);
    this.#player = new ReplayPlayer(replay.steps, { speed, onChange: () => this.show() });
  }

  get point(): string | undefined {
    return this.#replay.steps[this.#player.shown - 1]?.point;
  }

  start(onFailure: (error: unknown) => void): void {
    this.#onFailure = onFailure;
    this.#write(ENTER);
    this.#player.play();
  }

  stop(): void {
    this.#player.stop();
  }

  press(key: string): void {
    const player = this.#player;
    if (key === "space") player.toggle();
    else if (key === "right") player.stepBy(1);
    else if (key === "left") player.stepBy(-1);
    else if (key === "down") player.eventBy(1);
    else if (key === "up") player.eventBy(-1);
    else if (key === "+") player.speed = Math.min(FASTEST, player.speed * 2);
    else if (key === "-") player.speed = Math.max(1 / FASTEST, player.speed / 2);
  }

  /** Bound: it is an event listener too. */
  readonly show = (): void => {
    const { shown } = this.#player;
    if (shown < this.#taken) {
      this.#transcript.clear();
      this.#taken = 0;
    }
    for (; this.#taken < shown; this.#taken++) {
      const step = this.#replay.steps[this.#taken];
      if (step !== undefined) this.#transcript.take(step);
    }
    const rows = (this.#context.streams.stdout as Screen).rows || ROWS_ELSEWHERE;
    const lines = this.#transcript.lastLines(Math.max(1, rows - 2));
    const screen = [
      ...lines,
      ...Array<string>(Math.max(0, rows - 1 - lines.length)).fill(""),
      this.#statusLine(),
    ];
    this.#write(HOME + screen.join(`${TO_LINE_END}\n`) + TO_LINE_END + TO_SCREEN_END);
  };

  #statusLine(): string {
    const { out } = this.#context;
    const { shown, state, speed } = this.#player;
    const { steps } = this.#replay;
    const step = steps[shown - 1];
    const seconds = (((step?.time ?? this.#startedAt) - this.#startedAt) / 1000).toFixed(3);
    const facts = [
      state,
      `${shown}/${steps.length}`,
      `at ${step?.point ?? "-"}`,
      `${seconds} s`,
      `×${speed}`,
      terminalLine(this.#replay.sessionId),
      "space ←→ delta ↑↓ event +- speed q",
    ];
    return out.style("dim", truncateText(facts.join(" · "), out.width));
  }

  #write(text: string): void {
    this.#context.out.write(text).catch((error: unknown) => this.#onFailure(error));
  }
}
