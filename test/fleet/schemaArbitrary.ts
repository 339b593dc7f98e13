/** Inputs made from the schema itself, so that a new property, or one that takes more than before, is tried without being asked for. */
import fc from "fast-check";
import { z } from "zod";
import { fleetInputsSchema, parseFleetSpec, type FleetInputs, type FleetSpec } from "../../provider/fleet";

/** What names, XML, JSON and shells stumble over, beside whatever the schema's own patterns give. */
const awkward = fc.constantFrom(
  " ", "  ", "a ", " a", "&", "&amp;", "&#10;", "&lt;b&gt;", "<", ">", "\"", "'", "]]>", "<!--", "\\", "$(id)", "`", "%41", "%", "+", ";", "?", "#", "{name}", "{slot}", "$&",
  "é", "日本", "😀", "\u0085", "\u00a0", "\u2028", "007", "1e3", "true", "null", "__proto__", "constructor", ".", "..", "-", "_", ",", "=", "/", "//", "\n", "\t", "\u0000", "\u001b", "\ud800", "\ufffe",
);
const anyText = fc.array(fc.oneof(awkward, fc.string({ unit: "binary", maxLength: 4 }), fc.stringMatching(/^[A-Za-z0-9._-]{1,8}$/)), { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""));

/** Of vm.xml. */
const XML_PATHS = ["./cpu/@check", "./on_crash", "./memoryBacking/hugepages", "./devices/input[@type='tablet']/@bus", "./devices/video[1]", "./a/b[@c=\"/d'\"]/e", "./qemu:commandline"];

/** Values of one schema. Each leaf is held to the schema, and so accepted by it. */
function valuesOf(schema: z.core.$ZodType, key = ""): fc.Arbitrary<unknown> {
  const accepted = (values: fc.Arbitrary<unknown>) => values.filter((value) => z.safeParse(schema, value).success);
  if (schema instanceof z.ZodOptional) return fc.option(valuesOf(schema.unwrap() as z.core.$ZodType, key), { nil: undefined });
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return fc.option(valuesOf(schema.unwrap() as z.core.$ZodType, key), { nil: undefined });
  if (schema instanceof z.ZodPipe) return accepted(valuesOf(schema.in as z.core.$ZodType, key));
  if (schema instanceof z.ZodUnion) return accepted(fc.oneof(...(schema.options as z.core.$ZodType[]).map((option) => valuesOf(option, key))));
  if (schema instanceof z.ZodArray) return accepted(fc.array(valuesOf(schema.element as z.core.$ZodType, key), { maxLength: 3 }));
  if (schema instanceof z.ZodEnum) return fc.constantFrom(...schema.options);
  if (schema instanceof z.ZodBoolean) return fc.boolean();
  if (schema instanceof z.ZodLiteral) return fc.constantFrom(...schema.values);
  if (schema instanceof z.ZodNumber) {
    const [from, to] = [Math.max(schema.minValue ?? 0, 0), Math.min(schema.maxValue ?? 1e12, 1e12)];
    return accepted(fc.oneof(fc.constantFrom(from, to), fc.integer({ min: Math.ceil(from), max: Math.floor(to) }), fc.double({ min: from, max: to, noNaN: true })));
  }
  if (schema instanceof z.ZodObject) {
    return fc.record(Object.fromEntries(Object.entries(schema.shape as Record<string, z.core.$ZodType>).map(([name, of]) => [name, valuesOf(of, name)])), { noNullPrototype: true });
  }
  if (schema instanceof z.ZodRecord) return fc.dictionary(fc.constantFrom(...XML_PATHS), valuesOf(schema.valueType as z.core.$ZodType, key), { maxKeys: 3, noNullPrototype: true });
  if (schema instanceof z.ZodString) {
    const patterns = [...(schema._zod.bag as { patterns?: Set<RegExp> }).patterns ?? []];
    const own = patterns.length === 0 ? fc.oneof(anyText, anyText.map((text) => `/${text}`)) : fc.oneof(...patterns.map((one) => fc.stringMatching(one)), anyText);
    return accepted(own);
  }
  throw new Error(`expected a schema that inputs are made of, got ${schema._zod.def.type} at ${key}`);
}

const fields = fleetInputsSchema.shape;
const hostFields = fields.hosts.element.shape;
const unique = <T>(items: readonly T[], keyOf: (item: T) => string): T[] => [...new Map(items.map((item) => [keyOf(item), item])).values()];

type Card = NonNullable<NonNullable<FleetInputs["vm"]>["networks"]>[number];
/** Plugged into one thing, with what goes with that. */
function fittedCard({ network, bridge, direct, virtualPort, vlanTags, mtu, ...rest }: Card): Card {
  const tags = vlanTags && [...new Set(vlanTags)];
  const one = tags?.slice(0, 1);
  if (direct) return { ...rest, direct, ...(direct.mode === "passthrough" && { vlanTags: one }) };
  if (bridge !== undefined) return { ...rest, bridge, virtualPort, mtu, vlanTags: virtualPort ? tags : one };
  return { ...rest, network: network ?? "n", mtu, vlanTags: tags };
}

/** Made to fit together as the checks of several properties ask. */
function fitted(one: { vm: FleetInputs["vm"]; template: FleetInputs["template"]; hosts: { name: string; pool?: string }[]; rest: object }, kind: "volume" | "domain" | "file"): FleetInputs {
  const hosts = unique(one.hosts, ({ name }) => name).map((host, index) => ({ ...host, uri: `qemu+ssh://root@h${index}/system` }));
  const { pool = "p", volume = "v", domain = "d", file = "/f" } = one.template;
  const { kernel, initrd, cmdline, serialLog, hardware, xml, ...vm } = one.vm ?? {};
  return {
    ...one.rest as Pick<FleetInputs, "namePrefix">, hosts, count: 2,
    template: kind === "file" ? { file } : kind === "domain" ? { host: hosts[0]!.name, domain } : { host: hosts[0]!.name, pool, volume },
    vm: {
      ...vm, ...(kernel !== undefined && { kernel, initrd, cmdline }), ...(serialLog !== undefined && { serialLog: `${serialLog}{slot}` }),
      networks: vm.networks?.map(fittedCard),
      ...(vm.maxCpus !== undefined && { maxCpus: Math.max(vm.maxCpus, vm.numCpus ?? 1) }), ...(vm.maxMemory !== undefined && { maxMemory: Math.max(vm.maxMemory, vm.memory ?? 1024) }),
      ...(vm.firmware === "bios" && { efiSecureBootEnabled: undefined }), ...(kernel !== undefined && { efiSecureBootEnabled: undefined }),
      ...(hardware !== undefined && { hardware: kind === "domain" ? hardware : "defaults" as const }),
      ...(xml && { xml: Object.fromEntries(Object.entries(xml).map(([path, value]) => [path, value === true && path.includes("/@b") || value === true && path.endsWith("/@check") ? "true" : value])) }),
      disks: unique(vm.disks ?? [], (disk) => disk.label.slice(0, 20)).map(({ reattach, ...disk }) => ({ ...disk, ...(disk.onDelete === "keep" && { reattach }) })),
    },
  };
}

/** Inputs that check accepts, and what they are understood as. */
export const acceptedInputs: fc.Arbitrary<{ inputs: FleetInputs; spec: FleetSpec }> = fc.record({
  vm: valuesOf(fields.vm), template: valuesOf(fields.template), kind: fc.constantFrom("volume" as const, "domain" as const, "file" as const),
  hosts: fc.array(fc.record({ name: valuesOf(hostFields.name), pool: valuesOf(hostFields.pool) }, { noNullPrototype: true }), { minLength: 1, maxLength: 3 }),
  rest: fc.record({
    namePrefix: valuesOf(fields.namePrefix), fleetId: valuesOf(fields.fleetId), abandonHosts: valuesOf(fields.abandonHosts), timelineFile: valuesOf(fields.timelineFile),
    powerOn: valuesOf(fields.powerOn), clone: valuesOf(fields.clone),
  }, { noNullPrototype: true }),
}, { noNullPrototype: true }).map(({ kind, ...one }) => {
  const inputs = JSON.parse(JSON.stringify(fitted(one as Parameters<typeof fitted>[0], kind))) as FleetInputs;
  const { spec, problems } = parseFleetSpec(inputs);
  if (!spec) throw new Error(`expected inputs that are accepted, got ${JSON.stringify(problems)}`);
  return { inputs, spec };
});
