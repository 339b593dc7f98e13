import { createSimulated } from "../../provider/hypervisors/simulated";
import { hypervisorContract } from "./contract";
import { inputs, specOf } from "../engine/world";

hypervisorContract("the simulated hypervisor", async () => {
  const spec = specOf(inputs(2, 1, { count: 1 }));
  const { hypervisor } = createSimulated({ spec });
  let fleets = 0;
  return {
    hypervisor,
    spec,
    second: async () => hypervisor,
    freshFleetId: () => `fleet${String.fromCharCode(97 + (fleets++ % 26))}${fleets}`,
    putForeign: async (host, name) => { hypervisor.host(host).foreignNames.push(name); },
    close: () => hypervisor.close(),
  };
}, { abilities: ["relaying", "linksClones", "startsEarly", "reportsReadiness"] });
