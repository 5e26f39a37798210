/** A network between this machine's processes on which every byte arrives later. */
import { once } from "node:events";
import { connect, createServer } from "node:net";

/**
 * Listens on a free port and passes everything on.
 * @param delayMs added in each direction
 */
export async function slowNetwork(host, port, delayMs) {
  const sockets = new Set();
  const server = createServer((client) => {
    const target = connect(port, host);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ]) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (chunk) => setTimeout(() => to.destroyed || to.write(chunk), delayMs));
      from.on("end", () => setTimeout(() => to.end(), delayMs));
      from.on("error", () => to.destroy());
      from.on("close", () => sockets.delete(from));
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: server.address().port, close };
}
