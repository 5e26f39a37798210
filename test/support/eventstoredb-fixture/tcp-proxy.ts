import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, createServer, connect } from "node:net";

interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

/** The network between a client and a server: it can be slow, hang, break and be down. Works before any server. */
export class TcpProxy {
  readonly #listener: Server;
  readonly #targetHost: string;
  readonly #links = new Set<Link>();
  #targetPort: number;
  #latencyMs = 0;
  #isHung = false;
  #piecesLeft = -1;
  #port = 0;
  #accepted = 0;

  private constructor(targetPort: number, targetHost: string) {
    this.#targetPort = targetPort;
    this.#targetHost = targetHost;
    this.#listener = createServer((client) => this.#accept(client));
  }

  static async start(targetPort: number, targetHost = "127.0.0.1"): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort, targetHost);
    await proxy.listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** Resolves when so many more connections have been made. */
  async untilConnected(more: number): Promise<void> {
    const wanted = this.#accepted + more;
    while (this.#accepted < wanted) await once(this.#listener, "connection");
  }

  /** Where new connections go. */
  set targetPort(port: number) {
    this.#targetPort = port;
  }

  /** Added to each direction. */
  set latencyMs(ms: number) {
    this.#latencyMs = ms;
  }

  /** Listens again, on the same port. */
  async listen(): Promise<void> {
    this.#listener.listen(this.#port, "127.0.0.1");
    await once(this.#listener, "listening");
    this.#port = (this.#listener.address() as AddressInfo).port;
  }

  /** Refuses connections and breaks those that there are. */
  async down(): Promise<void> {
    const closed = once(this.#listener, "close");
    this.#listener.close();
    this.reset();
    await closed;
  }

  /** Breaks all connections. */
  reset(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.destroy();
    }
    this.#links.clear();
  }

  /** Breaks all connections when so many more pieces of data have gone through, in either direction. */
  resetAfter(pieces: number): void {
    this.#piecesLeft = pieces;
  }

  /** Nothing goes through any more, and nobody is told. */
  hang(): void {
    this.#isHung = true;
    for (const { client, server } of this.#links) {
      client.pause();
      server.pause();
    }
  }

  resume(): void {
    this.#isHung = false;
    for (const { client, server } of this.#links) {
      client.resume();
      server.resume();
    }
  }

  async close(): Promise<void> {
    if (this.#listener.listening) await this.down();
  }

  #accept(client: Socket): void {
    this.#accepted += 1;
    const server = connect(this.#targetPort, this.#targetHost);
    const link = { client, server };
    this.#links.add(link);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      const other = socket === client ? server : client;
      socket.on("data", (chunk) => this.#forward(chunk, other));
      socket.on("end", () => this.#forward(undefined, other));
      // A broken side breaks the other; the connection is all there is to report it to.
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#links.delete(link);
        if (this.#latencyMs === 0) other.destroy();
      });
      if (this.#isHung) socket.pause();
    }
  }

  #forward(chunk: Buffer | undefined, to: Socket): void {
    if (this.#piecesLeft === 0) this.reset();
    this.#piecesLeft -= 1;
    const send = (): void => {
      if (to.destroyed) return;
      if (chunk === undefined) to.end();
      else to.write(chunk);
    };
    if (this.#latencyMs === 0) send();
    else setTimeout(send, this.#latencyMs);
  }
}
