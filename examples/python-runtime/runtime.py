"""A runtime in Python that logs a turn through a pipe: runtime.py SESSION TURNLOG-COMMAND..."""
import json, subprocess, sys
session, *turnlog = sys.argv[1:]  # python3 runtime.py support-42 npx turnlog
command = [*turnlog, "record", session, "--user", "What is 6 * 7?", "--protocol", "turnlog", "--ack"]
record = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
line = 0  # The last one that was logged.

def log(verb, **fields):
    global line
    line += 1
    print(json.dumps({"verb": verb, **fields}), file=record.stdin, flush=True)

def until_durable():
    """Waits until everything that was logged so far survives a crash."""
    for answer in map(json.loads, record.stdout):
        if answer["type"] == "refused":
            raise RuntimeError(f"line {answer['line']} was refused: {answer['message']}")
        if answer["type"] in ("durable", "end") and answer["line"] >= line:
            return answer
    raise RuntimeError("turnlog record has ended: see its stderr")

for delta in ["I ", "will ", "calculate ", "it."]:  # A real model's stream goes here.
    log("text", text=delta)
log("tool-call", toolId="t1", name="multiply", input=json.dumps({"a": 6, "b": 7}))
log("tool-started", toolId="t1")
until_durable()  # Before the tool runs: after a crash the log knows that it may have.
log("tool-result", toolId="t1", output=6 * 7)
log("text", text="It is 42.")
log("finish", finishReason="stop")
print(until_durable()["outcome"], "turn, exit code", record.wait())
