import type * as Grpc from "@grpc/grpc-js";

/** Where in the protocol something goes wrong. */
export type Step = "append" | "read-stream" | "read-all" | "subscribe";

export type Fault =
  /** The call ends with this status; an append is not done. */
  | { readonly kind: "fail"; readonly failure: Grpc.ServiceError }
  /** The answer to an append says so, as "Server Is Not Ready". */
  | { readonly kind: "says"; readonly message: string }
  /** No answer ever; an append is not done. */
  | { readonly kind: "hang" }
  /** All connections break; an append is not done. */
  | { readonly kind: "reset" }
  /** The append is done, then all connections break. */
  | { readonly kind: "answer-lost" }
  /** The answer comes later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** The call ends without an error after so many messages. */
  | { readonly kind: "end"; readonly afterMessages: number }
  /** The call fails so after so many messages. */
  | { readonly kind: "break"; readonly afterMessages: number; readonly failure: Grpc.ServiceError };

interface Planned {
  readonly step: Step;
  readonly fault: Fault;
  skip: number;
  times: number;
}

/** What is to go wrong, call by call. */
export class Faults {
  /** What has gone wrong, for a test to be sure that it did. */
  readonly met: { step: Step; kind: Fault["kind"] }[] = [];
  #planned: Planned[] = [];

  /** @param skip lets so many calls of this step pass first; `times` hits so many in a row. */
  inject(step: Step, fault: Fault, { skip = 0, times = 1 }: { skip?: number; times?: number } = {}): void {
    this.#planned.push({ step, fault, skip, times });
  }

  clear(): void {
    this.#planned = [];
  }

  take(step: Step): Fault | undefined {
    const planned = this.#planned.find((each) => each.step === step);
    if (planned === undefined) return undefined;
    if (planned.skip > 0) {
      planned.skip -= 1;
      return undefined;
    }
    planned.times -= 1;
    if (planned.times <= 0) this.#planned = this.#planned.filter((each) => each !== planned);
    this.met.push({ step, kind: planned.fault.kind });
    return planned.fault;
  }
}
