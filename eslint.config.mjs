// Recommended rules, and the rooms of the design: who may import whom, and what is pure.
import { builtinModules } from "node:module";
import tseslint from "typescript-eslint";

const ADAPTERS = "libvirt|vsphere|simulated";
/** `node:fs` and `fs`, `node:fs/promises` … */
const nodeModules = (except = []) => builtinModules
  .filter((name) => !name.startsWith("_") && !except.includes(name))
  .flatMap((name) => [name, `node:${name}`]);

const PULUMI = { regex: "^@pulumi/", message: "Only provider/pulumi and sdk know Pulumi." };
const GRPC = { regex: "^@grpc/", message: "Only provider/pulumi speaks gRPC." };
const INSIDES = {
  regex: `(^|/)(${ADAPTERS})/(?!index$)`,
  message: "Outside an adapter's folder only its index may be imported.",
};
const ADAPTER = { regex: `hypervisors/(${ADAPTERS})$`, message: "The port (hypervisors/hypervisor) is all this room knows." };
const SIBLING = { ...INSIDES, regex: `^\\.\\./(${ADAPTERS})/(?!index$)` };
const room = (names) => ({ regex: `^\\.\\./(\\.\\./)*(${names})(/|$)`, message: "Dependencies point the other way (DESIGN.md, section 2)." });

const imports = (patterns, names = []) => ({
  "no-restricted-imports": ["error", {
    patterns,
    paths: names.map((name) => ({ name, message: "This room is pure: no I/O." })),
  }],
});
const PURE = {
  "no-restricted-globals": ["error", ...[
    "Date", "performance", "setTimeout", "setInterval", "setImmediate", "process", "fetch", "console", "crypto",
  ].map((name) => ({ name, message: "This room is pure: the clock, randomness and I/O are passed in." }))],
  "no-restricted-properties": ["error", {
    object: "Math", property: "random", message: "This room is pure: the same inputs give the same plan.",
  }],
};

/** Time is passed in (`Clock`), so that tests need not wait for it. */
const CLOCK = "This adapter's time is a clock that is passed in (provider/async/clock).";
const TIMERS = [
  { regex: "^(node:)?timers/promises$", importNames: ["setTimeout", "setInterval", "scheduler"], message: CLOCK },
  { regex: "^(node:)?(timers|perf_hooks)$", message: CLOCK },
];
const NO_TIME_BUT_THE_CLOCK = {
  "no-restricted-globals": ["error", ...["performance", "setTimeout", "setInterval"].map((name) => ({ name, message: CLOCK }))],
  "no-restricted-properties": ["error", ...["Date", "performance"].map((object) => ({ object, property: "now", message: CLOCK })), { object: "process", property: "hrtime", message: CLOCK }],
};

/** A daemon translates what it says: codes, errno, types and facts decide, words are only shown. */
const WORDS = "(message|description|stack)";
const NO_DECISION_BY_WORDS = {
  "no-restricted-syntax": ["error", ...[
    `CallExpression[callee.property.name=/^(test|exec)$/][arguments.0.property.name=/^${WORDS}$/]`,
    `CallExpression[callee.property.name=/^(test|exec)$/] > CallExpression.arguments[callee.object.property.name=/^${WORDS}$/]`,
    `CallExpression[callee.property.name=/^(includes|match|matchAll|startsWith|endsWith|search|indexOf)$/][callee.object.property.name=/^${WORDS}$/]`,
    `CallExpression[callee.property.name=/^(includes|match|matchAll|startsWith|endsWith|search|indexOf)$/][callee.object.callee.object.property.name=/^${WORDS}$/]`,
    `BinaryExpression[operator=/^[!=]==$/] > MemberExpression.left[property.name=/^${WORDS}$/]`,
    `SwitchStatement[discriminant.property.name=/^${WORDS}$/]`,
  ].map((selector) => ({ selector, message: "An error's words may come in any language: decide by its type, code or errno, or ask for the fact (ADR 0072)." }))],
};

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "coverage/", "bench-results/", "reports/", "**/*.d.mts", "examples/**/node_modules/", "sdk/python/", "sdk/nodejs/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  tseslint.configs.recommended,
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-var": "error",
      "prefer-const": "error",
      "no-control-regex": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
    },
  },
  {
    // sdk: a dynamic provider's methods load it when they run; tests load examples as Pulumi does
    files: ["**/*.cjs", "sdk/*.ts", "test/**/*.ts"],
    rules: { "@typescript-eslint/no-require-imports": "off" },
  },
  // Promises nobody waits for: needs types, so only where it matters.
  {
    files: ["provider/**/*.ts", "sdk/*.ts"],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: { "@typescript-eslint/no-floating-promises": "error", "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }] },
  },
  {
    files: ["provider/fleet/**/*.ts"],
    rules: { ...PURE, ...imports([PULUMI, GRPC, room("async|scheduler|engine|hypervisors|front|pulumi|cli|picture")], nodeModules(["crypto"])) },
  },
  {
    files: ["provider/scheduler/**/*.ts"],
    rules: { ...PURE, ...imports([PULUMI, GRPC, room("async|engine|hypervisors|front|pulumi|cli|picture")], nodeModules()) },
  },
  {
    files: ["provider/picture/**/*.ts"],
    rules: { ...PURE, ...imports([PULUMI, GRPC, { ...room("engine"), regex: "/engine/(?!types$)" }, room("async|scheduler|hypervisors|front|pulumi|cli")], nodeModules()) },
  },
  {
    files: ["provider/engine/**/*.ts"],
    rules: imports([PULUMI, GRPC, INSIDES, { ...ADAPTER, regex: "hypervisors/(libvirt|vsphere)$" }, room("front|pulumi|cli|picture")]),
  },
  {
    files: ["provider/hypervisors/**/*.ts"],
    rules: imports([PULUMI, room("scheduler|engine|front|pulumi|cli|picture"), SIBLING]),
  },
  {
    // The simulator runs on the scheduler's own time model, so that a preview cannot drift.
    files: ["provider/hypervisors/simulated/**/*.ts"],
    rules: imports([PULUMI, room("engine|front|pulumi|cli|picture"), SIBLING]),
  },
  {
    files: ["provider/async/**/*.ts", "provider/maxmin.ts", "provider/heap.ts"],
    rules: imports([PULUMI, GRPC, room("fleet|scheduler|engine|hypervisors|front|pulumi|cli|picture")]),
  },
  {
    files: ["provider/async/**/*.ts", "provider/hypervisors/**/*.ts", "provider/engine/**/*.ts"],
    rules: {
      ...NO_DECISION_BY_WORDS,
      "no-restricted-properties": ["error", { object: "Date", property: "now", message: "The time of day jumps: durations go by a clock that is passed in." }],
    },
  },
  {
    files: ["provider/hypervisors/libvirt/**/*.ts"],
    rules: { ...NO_TIME_BUT_THE_CLOCK, ...imports([PULUMI, room("scheduler|engine|front|pulumi|cli|picture"), SIBLING, ...TIMERS]) },
  },
  {
    // Whatever it speaks, a front translates: what both do knows neither Pulumi's packages nor gRPC.
    files: ["provider/front/**/*.ts"],
    rules: imports([PULUMI, GRPC, INSIDES, room("pulumi|cli")]),
  },
  {
    files: ["provider/pulumi/**/*.ts", "provider/*.ts", "sdk/**/*.ts"],
    rules: imports([INSIDES]),
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      // chai-like property access and deliberately wrong inputs are what tests are made of
      "@typescript-eslint/no-unused-expressions": "off",
      "@typescript-eslint/no-explicit-any": "off",
    },
  },
);
