/**
 * The way back to Pulumi's engine, which a dynamic provider is not given by the SDK: its address is the last argument
 * of the process. Messages to a resource's row, and whether the engine still lives.
 */
import { createRequire } from "node:module";
import { connect } from "node:net";
import type { OtherSide } from "../../front";

export type Severity = "info" | "warning";

export interface EngineLink {
  /** @param ephemeral shown on the resource's row while it runs, then gone; else it also stays under Diagnostics */
  log(urn: string, message: string, severity: Severity, ephemeral: boolean): Promise<void>;
  /** Calls back once, when nothing listens at the engine's address any more. Does not keep the process alive. */
  onGone(callback: () => void): void;
}

/** Outside Pulumi (tests, a REPL): messages go nowhere, and there is nothing to lose. */
export const noEngine: EngineLink = { log: async () => undefined, onGone: () => undefined };

/** The engine as fronts see it. */
export const otherSideOf = (link: EngineLink): OtherSide => ({
  say: (urn, text, manner) => link.log(urn, text, manner === "warning" ? "warning" : "info", manner === "live"),
  onGone: (callback) => link.onGone(callback),
});

const ADDRESS = /^(?<host>\[[0-9a-f:]+\]|[\w.-]+):(?<port>\d+)$/i;
const LOG_DEADLINE_MS = 2000;
const RETRY_MS = 300;
/** A single refusal can be a full backlog; this many in a row are a dead engine. */
const REFUSALS = 3;

export function engineLink(address: string | undefined): EngineLink {
  const match = address === undefined ? null : ADDRESS.exec(address);
  if (!match?.groups) return noEngine;
  const host = match.groups["host"]!.replace(/^\[|\]$/g, "");
  const port = Number(match.groups["port"]);
  const send = messenger(address!);
  return { log: send, onGone: (callback) => watch(host, port, REFUSALS, callback) };
}

function messenger(address: string): EngineLink["log"] {
  // The gRPC copy of @pulumi/pulumi itself: its client refuses credentials made by any other copy.
  const ofPulumi = createRequire(require.resolve("@pulumi/pulumi/package.json"));
  const grpc = ofPulumi("@grpc/grpc-js") as typeof import("@grpc/grpc-js");
  const services = ofPulumi("./proto/engine_grpc_pb") as typeof import("@pulumi/pulumi/proto/engine_grpc_pb");
  const messages = ofPulumi("./proto/engine_pb") as typeof import("@pulumi/pulumi/proto/engine_pb");
  const client = new services.EngineClient(address, grpc.credentials.createInsecure());
  return (urn, message, severity, ephemeral) => {
    const request = new messages.LogRequest();
    request.setSeverity(severity === "info" ? messages.LogSeverity.INFO : messages.LogSeverity.WARNING);
    request.setMessage(message);
    request.setUrn(urn);
    request.setEphemeral(ephemeral);
    return new Promise((resolve) => {
      // A message that does not get through must never fail a run.
      client.log(request, new grpc.Metadata(), { deadline: Date.now() + LOG_DEADLINE_MS }, () => resolve());
    });
  };
}

/** Holds a connection open; when it closes, looks whether anyone still listens. */
function watch(host: string, port: number, refusalsLeft: number, gone: () => void): void {
  let connected = false;
  const socket = connect({ host, port });
  socket.unref();
  // gRPC servers greet with a settings frame; unread it would hold back the close.
  socket.resume();
  socket.once("connect", () => { connected = true; });
  socket.on("error", () => undefined);
  socket.once("close", () => {
    const left = connected ? REFUSALS : refusalsLeft - 1;
    if (left === 0) return gone();
    setTimeout(() => watch(host, port, left, gone), RETRY_MS).unref();
  });
}
