import type { RunSummary } from "../../fleet/model";
import type { Execution } from "../steps/execution";

export function summaryOf(execution: Execution): RunSummary {
  const { log, policy, created, destroyed, reconfigured, predictedSeconds } = execution;
  const { makespanSeconds, bytesMoved, bytesAcrossRacks, bytesResent } = log;
  return {
    policy, makespanSeconds, bytesMoved, bytesAcrossRacks, bytesResent, created, destroyed, reconfigured,
    ...(predictedSeconds !== undefined && { predictedSeconds: toMilliseconds(predictedSeconds) }),
  };
}

/** What is beyond is rounding of floating point. */
export const toMilliseconds = (seconds: number): number => Math.round(seconds * 1000) / 1000;
