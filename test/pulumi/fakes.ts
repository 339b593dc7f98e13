/** A provider over fake doors: what this room translates is seen without an engine or hosts. */
import { createProvider } from "../../provider/pulumi/dynamic/provider";
import type { Bag } from "../../provider/pulumi/dynamic/properties";
import { declared, type Doors, type FrontWorld, frontWorld, state } from "../front/fakes";

export { create, declared, plan, state, UNKNOWN } from "../front/fakes";

export const URN = "urn:pulumi:dev::proj::pulumi-nodejs:dynamic/vmfleet:ClonedVmFleet::workers";

/** Inputs as the sdk sends them. */
export const inputs = (changes: Bag = {}, preview = false): Bag => ({
  ...declared, ...changes, __provider: "text", __urn: URN, ...(preview && { __preview: true }),
});

export interface Said {
  urn: string;
  message: string;
  severity: string;
  ephemeral: boolean;
}

export interface World extends Pick<FrontWorld, "entered" | "exits" | "written" | "noted" | "closed"> {
  provider: ReturnType<typeof createProvider>;
  said: Said[];
  engineDies(): void;
}

export function world({ backend, ...doors }: Doors & { backend?: string } = {}): World {
  const said: Said[] = [];
  let gone: () => void = () => undefined;
  const { dependencies, entered, exits, written, noted, closed } = frontWorld(doors);
  const provider = createProvider({
    ...dependencies,
    link: {
      log: async (urn, message, severity, ephemeral) => { said.push({ urn, message, severity, ephemeral }); },
      onGone: (callback) => { gone = callback; },
    },
    backend: () => backend ?? "file:///state on test",
  });
  return { provider, said, entered, exits, written, noted, engineDies: () => gone(), closed };
}

/** Outputs as Pulumi would hold them after a create. */
export async function outputs(changes: Bag = {}): Promise<Bag> {
  return (await world({ apply: async () => state() }).provider.create(inputs(changes))).outs as Bag;
}

/** A diff as Pulumi asks for it when it previews: with what check handed on. */
export async function inPreview(provider: World["provider"], olds: Bag, news: Bag) {
  const { inputs: checked } = await provider.check(olds, news);
  return provider.diff("abcdefghij", olds, checked as Bag);
}
