/**
 * LangGraph.js as it is used: a superstep is a whole model call or tool call, so what the model has streamed since the
 * last checkpoint is nowhere.
 */
import { openGraph } from "./langgraph-graph.js";

export { answersIn } from "./langgraph-graph.js";

export const lostAtKill = "all text since the last tool call";

export const open = (folder, { durability }) =>
  openGraph(folder, durability, ({ type }) => type !== "TextAdded");
