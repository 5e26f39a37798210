/** node-event-storage's way of making a read model anew: all events of its one index, in order. */
import { byStream } from "./emmett-rebuild.js";
import { openStore } from "./node-event-storage.js";

export async function openImport(folder) {
  const store = await openStore(folder, "process");
  return {
    async append(batch) {
      const appends = [...byStream(batch)].map(
        // Its stream names become file names.
        ([stream, events]) =>
          new Promise((resolve) => store.commit(encodeURIComponent(stream), events, resolve)),
      );
      await Promise.all(appends);
    },
    async close() {
      store.close();
    },
  };
}

export async function openRebuild(folder, fold) {
  const store = await openStore(folder, "process");
  return {
    async work() {
      for (const event of store.getAllEvents()) fold.apply(event);
    },
    digest() {
      store.close();
      return fold.digest();
    },
  };
}
