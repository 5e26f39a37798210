import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Node cannot make certificates by itself. */
export function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export interface Certificate {
  /** Of the certificate, which is its own authority. */
  file: string;
  /** Holds it; for other files of the test. */
  folder: string;
  key: Buffer;
  certificate: Buffer;
  remove(): void;
}

/** A certificate for localhost and 127.0.0.1. Needs `hasOpenssl()`. */
export function makeCertificate(): Certificate {
  const folder = mkdtempSync(join(tmpdir(), "turnlog-tls-"));
  const [keyFile, file] = [join(folder, "server.key"), join(folder, "server.crt")];
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync("openssl", [...request, ...names, "-keyout", keyFile, "-out", file], { stdio: "ignore" });
  return {
    file,
    folder,
    key: readFileSync(keyFile),
    certificate: readFileSync(file),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
