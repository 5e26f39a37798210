/** LangGraph.js with the guarantee of the other candidates: each delta is a superstep, and so a checkpoint. */
import { openGraph } from "./langgraph-graph.js";

export { answersIn } from "./langgraph-graph.js";

export const lostAtKill = "nothing";

export const open = (folder, { durability }) => openGraph(folder, durability, () => true);
