import assert from "node:assert/strict";
import { ProgramInfo, RunRequest } from "@pulumi/pulumi/proto/language_pb";
import { runnerArguments, runnerEnvironment } from "./runner";

/** The request of `pulumi preview` in a project named cmp, whose stack has four settings. */
function request(options: Record<string, string | boolean> = {}): RunRequest {
  const info = new ProgramInfo();
  info.setRootDirectory("/cmp");
  info.setProgramDirectory("/cmp");
  info.setEntryPoint(".");
  info.getOptions = () => ({ toJavaScript: () => options }) as unknown as ReturnType<ProgramInfo["getOptions"]>;
  const made = new RunRequest();
  made.setInfo(info);
  made.setMonitorAddress("127.0.0.1:1");
  made.setOrganization("organization");
  made.setProject("cmp");
  made.setStack("dev");
  made.setDryrun(true);
  made.setParallel(8);
  const settings = { "aws:region": "eu", "cmp:a": "1", "cmp:o": '{"b":2}', "cmp:s": "geheim" };
  for (const [key, value] of Object.entries(settings)) made.getConfigMap().set(key, value);
  made.setConfigsecretkeysList(["cmp:s"]);
  return made;
}

/** Recorded from Pulumi's own language host 3.254.0, by a runner that writes down what it is given; `--sync` left out. */
describe("the stand-in for Pulumi's language host", () => {
  it("gives the SDK's runner the official arguments, in their order", () => {
    assert.equal(runnerArguments(request(), "127.0.0.1:2").join(" "),
      "--monitor 127.0.0.1:1 --engine 127.0.0.1:2 --organization organization --project cmp --root-directory /cmp --stack dev " +
      "--pwd /cmp --dry-run --parallel 8 .");
  });

  it("gives it the official environment", () => {
    assert.deepEqual(runnerEnvironment(request({ tsconfig: "tsconfig.x.json" })), {
      PULUMI_CONFIG: '{"aws:config:region":"eu","cmp:config:a":"1","cmp:config:o":"{\\"b\\":2}","cmp:config:s":"geheim"}',
      PULUMI_CONFIG_SECRET_KEYS: '["cmp:s"]',
      PULUMI_NODEJS_TYPESCRIPT: "true",
      PULUMI_NODEJS_TSCONFIG_PATH: "tsconfig.x.json",
    });
    assert.equal("PULUMI_NODEJS_TYPESCRIPT" in runnerEnvironment(request({ typescript: false })), false);
  });
});
