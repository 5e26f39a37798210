// A file deleted from src must not live on in what is built of it, so every build starts from nothing.
import { rmSync } from "node:fs";

for (const folder of ["build", "dist"])
  rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true });
