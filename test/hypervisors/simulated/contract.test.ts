import { createSimulated } from "../../../provider/hypervisors/simulated";
import { hypervisorContract } from "../contract";
import { spec } from "./fixtures";

hypervisorContract("the simulator", async () => {
  const { hypervisor } = createSimulated({ spec: spec(), options: { startupSeconds: 0.1, costs: { consolidateSeconds: 2 } } });
  let fleets = 0;
  return {
    hypervisor,
    second: async () => hypervisor,
    spec: spec(),
    freshFleetId: () => `fleet${fleets++}`,
    putForeign: async (host, name) => { hypervisor.host(host).foreignNames.push(name); },
    close: () => hypervisor.close(),
  };
});
