/** Above it a varint does not fit into 64 bits. */
const MOST_VARINT_BYTES = 10;

/**
 * Reads one message of the protocol buffers' wire format, field by field. Reading events is most of what a client
 * of the server does, and the generated classes take three times as long for it.
 */
export class ProtobufReader {
  readonly #bytes: Buffer;
  readonly #end: number;
  #at: number;
  #wireType = 0;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Number of the next field; 0 at the end. What is not read must be skipped. */
  nextField(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.number();
    this.#wireType = tag & 7;
    return tag >>> 3;
  }

  /** A varint; above 2^53 the nearest number that there is. */
  number(): number {
    let value = 0;
    let unit = 1;
    for (let count = 0; count < MOST_VARINT_BYTES; count += 1) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || this.#at > this.#end) break;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 128;
    }
    throw new RangeError("a number in a message does not end");
  }

  message(): ProtobufReader {
    const end = this.#lengthEnd();
    const reader = new ProtobufReader(this.#bytes, this.#at, end);
    this.#at = end;
    return reader;
  }

  /** A part of the message, not a copy of it. */
  bytes(): Buffer {
    const end = this.#lengthEnd();
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  text(): string {
    const end = this.#lengthEnd();
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }

  skip(): void {
    switch (this.#wireType) {
      case 0:
        this.number();
        return;
      case 1:
        this.#at += 8;
        return;
      case 2:
        this.#at = this.#lengthEnd();
        return;
      case 5:
        this.#at += 4;
        return;
      default:
        throw new RangeError(`a message has a field of wire type ${this.#wireType}`);
    }
  }

  #lengthEnd(): number {
    const length = this.number();
    const end = this.#at + length;
    if (end > this.#end) throw new RangeError("a field of a message is longer than the message");
    return end;
  }
}
