import { ProtobufReader } from "./protobuf-reader.ts";

/** The server counts time in ticks of 100 ns since 1970. */
const TICKS_PER_MS = 10_000;

/** An event as the server sends it. Its bytes are parts of the message that it came in. */
export interface WireRecord {
  id: string;
  /** As the server names it. */
  stream: string;
  /** Not checked: see `revisionOf` and `positionOf`. */
  revision: number;
  position: number;
  type: string;
  contentType: string;
  /** Epoch ms. */
  recordedAt: number;
  data: Buffer;
  metadata: Buffer;
}

/** What a read or a subscription is sent, as far as it matters here. */
export type ReadResponse =
  | { readonly kind: "event"; readonly record: WireRecord }
  | { readonly kind: "checkpoint"; readonly position: number }
  | { readonly kind: "caught-up" }
  | { readonly kind: "other" };

const OTHER: ReadResponse = { kind: "other" };
const NO_BYTES = Buffer.alloc(0);

/**
 * Decodes a `ReadResp` of the server's streams.proto.
 * @throws {RangeError} where it is none, which ends the call
 */
export function decodeReadResponse(bytes: Buffer): ReadResponse {
  const reader = new ProtobufReader(bytes);
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    switch (field) {
      case 1:
        return readEvent(reader.message());
      case 3:
        return { kind: "checkpoint", position: firstNumber(reader.message()) };
      case 8:
        return { kind: "caught-up" };
      default:
        reader.skip();
    }
  }
  return OTHER;
}

function readEvent(reader: ProtobufReader): ReadResponse {
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    if (field === 1) return { kind: "event", record: readRecord(reader.message()) };
    reader.skip();
  }
  return OTHER;
}

function readRecord(reader: ProtobufReader): WireRecord {
  const record: WireRecord = {
    id: "",
    stream: "",
    revision: 0,
    position: 0,
    type: "",
    contentType: "",
    recordedAt: 0,
    data: NO_BYTES,
    metadata: NO_BYTES,
  };
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    switch (field) {
      case 1:
        record.id = textOfField(reader.message(), 2);
        break;
      case 2:
        record.stream = textOfField(reader.message(), 3);
        break;
      case 3:
        record.revision = reader.number();
        break;
      case 5:
        record.position = reader.number();
        break;
      case 6:
        readProperty(reader.message(), record);
        break;
      case 7:
        record.metadata = reader.bytes();
        break;
      case 8:
        record.data = reader.bytes();
        break;
      default:
        reader.skip();
    }
  }
  return record;
}

/** An entry of the map of what the server calls metadata: type, content type, time. */
function readProperty(reader: ProtobufReader, record: WireRecord): void {
  let key = "";
  let value = "";
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    if (field === 1) key = reader.text();
    else if (field === 2) value = reader.text();
    else reader.skip();
  }
  if (key === "type") record.type = value;
  else if (key === "content-type") record.contentType = value;
  // What is lost above 53 bits is below a millisecond.
  else if (key === "created") record.recordedAt = Math.floor(Number(value) / TICKS_PER_MS);
}

function textOfField(reader: ProtobufReader, wanted: number): string {
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    if (field === wanted) return reader.text();
    reader.skip();
  }
  return "";
}

function firstNumber(reader: ProtobufReader): number {
  for (let field = reader.nextField(); field !== 0; field = reader.nextField()) {
    if (field === 1) return reader.number();
    reader.skip();
  }
  return 0;
}
