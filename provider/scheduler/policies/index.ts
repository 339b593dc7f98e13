import type { PolicyName } from "../../fleet/model";
import { earliestCompletion } from "./earliestCompletion";
import { relay } from "./relay";
import { rounds } from "./rounds";
import { singleSource } from "./singleSource";
import type { Policy } from "../policy";

/** Every policy, in the order that breaks ties of `auto`. Add one here and in PolicyName. */
export const policies: Readonly<Record<PolicyName, Policy>> = { rounds, earliestCompletion, relay, singleSource };

export const policyNames = Object.keys(policies) as PolicyName[];
