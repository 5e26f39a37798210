/**
 * The shapes that most rows hold, as a dictionary: a row says a number where it would describe one of them, which is
 * half of a row of one event. The log gives these strings no meaning; any other shape is described in its row.
 *
 * Rows are stored for ever: entries are added at the end, never changed, moved or taken out.
 */
const OF_A_WRITER = `{"v":0,"writer":0,"n":0,"time":0}`;
const CAUSED = `{"v":0,"writer":0,"n":0,"time":0,"cause":0}`;
const IN_A_TURN = `{"v":0,"writer":0,"n":0,"time":0,"turnId":0}`;
const CAUSED_IN_A_TURN = `{"v":0,"writer":0,"n":0,"time":0,"turnId":0,"cause":0}`;
const CHECKSUM = `"content":{"length":0,"crc32":0}`;
const PROCESS = `"host":0,"pid":0,"bootId":0,"pidStart":0,"pidNamespace":0,"heartbeatMs":0,"library":0`;

const DESCRIPTIONS: readonly string[] = [
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0},${CAUSED}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"marks":[[0,0]]},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"marks":[[0,0],[0,0]]},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"marks":[[0,0],[0,0],[0,0]]},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"marks":[[0,0],[0,0],[0,0],[0,0]]},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"marks":1},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0],[0,0,0]],"length":0},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0],[0,0,0]],"length":0,"marks":1},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"content":[[0,0,0]],"length":0,"branches":[[0,0,0]]},${CAUSED}]`,
  `["BranchesUpdated",{"messageId":0,"pushContent":0},${CAUSED_IN_A_TURN}]`,
  `["BranchesUpdated",{"messageId":0,"activeBranch":0},${CAUSED}]`,
  `["MessageSaved",{"messageId":0,"role":0,"format":0,"content":0},${OF_A_WRITER}]`,
  `["MessageSaved",{"messageId":0,"role":0,"format":0,"content":0,"externalId":0},${OF_A_WRITER}]`,
  `["AssistantStubAppended",{"messageId":0,"content":0},${OF_A_WRITER}]`,
  `["TurnStarted",{"turnId":0,"messageId":0,"kind":0},${IN_A_TURN}]`,
  `["TurnStarted",{"turnId":0,"messageId":0,"kind":0,"model":0},${IN_A_TURN}]`,
  `["TurnEnded",{"messageId":0,"outcome":0,${CHECKSUM}},${OF_A_WRITER}]`,
  `["TurnEnded",{"turnId":0,"messageId":0,"outcome":0,${CHECKSUM}},${IN_A_TURN}]`,
  `["TurnEnded",{"turnId":0,"messageId":0,"outcome":0,"finishReason":0,${CHECKSUM}},${IN_A_TURN}]`,
  `["TurnEnded",{"turnId":0,"messageId":0,"outcome":0,"finishReason":0,"usage":{"inputTokens":0,"outputTokens":0},${CHECKSUM}},${IN_A_TURN}]`,
  `["TurnEnded",{"turnId":0,"messageId":0,"outcome":0,"error":{"message":0},${CHECKSUM}},${IN_A_TURN}]`,
  `["MessageIdsReserved",{"sessionId":0},${OF_A_WRITER}]`,
  `["WriterStarted",{${PROCESS}},${OF_A_WRITER}]`,
  `["WriterHeartbeat",{${PROCESS}},${OF_A_WRITER}]`,
  `["WriterStopped",{},${OF_A_WRITER}]`,
];

const numbers = new Map(DESCRIPTIONS.map((description, number) => [description, number]));

/** The number of a shape's description, undefined for one that is not known. */
export function knownShapeNumber(description: string): number | undefined {
  return numbers.get(description);
}

/** JSON of the description with this number, undefined where this version knows none. */
export function knownShapeDescription(number: number): string | undefined {
  return DESCRIPTIONS[number];
}
