import type { RunSummary } from "../fleet/model";
import type { Execution } from "./execute";

export function summaryOf(execution: Execution): RunSummary {
  const { log, policy, created, destroyed, reconfigured } = execution;
  const { makespanSeconds, bytesMoved, bytesAcrossRacks, bytesResent } = log;
  return { policy, makespanSeconds, bytesMoved, bytesAcrossRacks, bytesResent, created, destroyed, reconfigured };
}
