/**
 * A LangGraph.js graph with its SQLite checkpointer: a checkpoint of the whole state after every superstep, written
 * before the next superstep begins (`durability: "sync"`).
 */
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { SqliteSaver } from "@langchain/langgraph-checkpoint-sqlite";
import Database from "better-sqlite3";
import { join } from "node:path";
import { addToParts, appendingTurn } from "../harness/turn-events.js";

const replaced = (initial) => Annotation({ reducer: (_before, after) => after, default: () => initial });
const State = Annotation.Root({ parts: replaced([]), isFinished: replaced(false) });

function openSaver(folder, durability) {
  const database = new Database(join(folder, "store.db"));
  const saver = new SqliteSaver(database);
  saver.setup();
  database.pragma(`synchronous = ${durability === "power" ? "FULL" : "NORMAL"}`);
  return { database, saver };
}

/** What the model streams, handed to a node of the graph event by event. */
class Handover {
  #given = [];
  #wake;
  #unacknowledged = [];

  /** Resolves when the event is in a checkpoint. */
  give = (event) =>
    new Promise((resolve, reject) => {
      this.#given.push({ event, resolve, reject });
      this.#wake?.();
    });

  /** The next event. Who asks for it in a new superstep has what came before in a checkpoint. */
  async take(isNewStep) {
    if (isNewStep) this.acknowledge();
    while (this.#given.length === 0) await new Promise((resolve) => (this.#wake = resolve));
    const next = this.#given.shift();
    this.#unacknowledged.push(next);
    return next;
  }

  acknowledge() {
    for (const { resolve } of this.#unacknowledged) resolve();
    this.#unacknowledged = [];
  }

  fail(error) {
    for (const { reject } of [...this.#unacknowledged, ...this.#given]) reject(error);
  }
}

/**
 * @param isStepOver says whether a superstep ends with this event; text that does not end one is acknowledged as
 * soon as it is taken, since the next of it would never come otherwise
 */
export async function openGraph(folder, durability, isStepOver) {
  const { database, saver } = openSaver(folder, durability);
  const graph = new StateGraph(State)
    .addNode("step", async ({ parts: before }, { configurable: { handover } }) => {
      const parts = before.map((part) => ({ ...part }));
      for (let isNewStep = true; ; isNewStep = false) {
        const { event, resolve } = await handover.take(isNewStep);
        addToParts(parts, event);
        if (isStepOver(event)) return { parts, isFinished: event.type === "TurnFinished" };
        resolve();
      }
    })
    .addEdge(START, "step")
    .addConditionalEdges("step", ({ isFinished }) => (isFinished ? END : "step"))
    .compile({ checkpointer: saver });
  return {
    async beginTurn(session) {
      const handover = new Handover();
      graph
        .invoke(
          { isFinished: false },
          { configurable: { thread_id: session, handover }, recursionLimit: 1e9, durability: "sync" },
        )
        .then(
          () => handover.acknowledge(),
          (error) => handover.fail(error),
        );
      return appendingTurn(handover.give);
    },
    async close() {
      database.close();
    },
  };
}

/** Of threads with one turn each. */
export async function answersIn(folder) {
  const { database, saver } = openSaver(folder, "process");
  return {
    async answers(session) {
      const { checkpoint } = await saver.getTuple({ configurable: { thread_id: session } });
      return [checkpoint.channel_values.parts];
    },
    async close() {
      database.close();
    },
  };
}
