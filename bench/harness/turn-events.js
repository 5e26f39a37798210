/** The events that an event store is handed for a turn, and their fold: for peers that have no fold of their own. */

export const turnStarted = (user) => ({ type: "TurnStarted", data: { user } });
export const textAdded = (text) => ({ type: "TextAdded", data: { text } });
export const toolCalled = (call) => ({ type: "ToolCalled", data: call });
export const toolReturned = (toolId, output) => ({ type: "ToolReturned", data: { toolId, output } });
export const turnFinished = () => ({ type: "TurnFinished", data: {} });

/** The turn of a candidate that appends each step as an event. @param append may return a promise */
export function appendingTurn(append) {
  return {
    delta: (text) => append(textAdded(text)),
    toolCall: (call) => append(toolCalled(call)),
    toolResult: (toolId, output) => append(toolReturned(toolId, output)),
    finish: () => append(turnFinished()),
  };
}

/** Adds one event of an answer to its parts, in the form of `comparableParts`. */
export function addToParts(parts, { type, data }) {
  if (type === "ToolCalled") parts.push({ ...data });
  else if (type === "ToolReturned")
    parts.findLast(({ toolId }) => toolId === data.toolId).output = data.output;
  else if (type === "TextAdded") {
    const last = parts.at(-1);
    if (last?.text === undefined) parts.push({ text: data.text });
    else last.text += data.text;
  }
}

/**
 * Folds the events of one session, in order, into the parts of each of its answers.
 * @param answers those of the events before
 */
export function foldAnswers(events, answers = []) {
  for (const event of events) {
    if (event.type === "TurnStarted") answers.push([]);
    else addToParts(answers.at(-1), event);
  }
  return answers;
}
