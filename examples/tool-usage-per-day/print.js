// node examples/tool-usage-per-day/print.js ./turnlog.db
import { openProjection } from "turnlog";
import { toolUsage } from "./tool-usage.js";

const projection = await openProjection(process.argv[2] ?? "./turnlog.db", toolUsage);
const { days } = await projection.read();
await projection.close();

for (const [day, tools] of Object.entries(days)) {
  for (const [name, { calls, errors }] of Object.entries(tools)) {
    console.log(`${day}  ${name}: ${calls} calls, ${errors} errors`);
  }
}
