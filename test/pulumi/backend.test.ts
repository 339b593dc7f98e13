import assert from "node:assert/strict";
import fc from "fast-check";
import { backendOf, type Surroundings } from "../../provider/pulumi/backend";

/** A machine with these files, and no link on it. */
const around = (files: Record<string, string> = {}, changes: Partial<Surroundings> = {}): Surroundings => ({
  env: {}, folder: "/home/ann/shop/infra", home: "/home/ann", read: (file) => files[file], realPath: (path) => path, machine: () => "m1", ...changes,
});
const login = (current: string, file = "/home/ann/.pulumi/credentials.json") => ({ [file]: JSON.stringify({ current, accessTokens: {} }) });
const project = (url?: string, name = "shop") => `name: ${name}\nruntime: nodejs\n${url ? `backend:\n  url: ${url}\n` : ""}`;
const given = (url: string, changes: Partial<Surroundings> = {}) => backendOf(around({}, { env: { PULUMI_BACKEND_URL: url }, ...changes }));

describe("the backend of a stack", () => {
  it("is the environment's, else the project's, else that of the login, else Pulumi Cloud", () => {
    const files = { ...login("https://login.example"), "/home/ann/shop/Pulumi.yaml": project("https://project.example") };
    assert.equal(backendOf(around(files, { env: { PULUMI_BACKEND_URL: "https://env.example" } })), "https://env.example");
    assert.equal(backendOf(around(files)), "https://project.example");
    assert.equal(backendOf(around({ ...files, "/home/ann/shop/Pulumi.yaml": project() })), "https://login.example");
    assert.equal(backendOf(around()), "https://api.pulumi.com");
    assert.equal(backendOf(around({}, { env: { PULUMI_API: "https://own.example/" } })), "https://own.example");
  });

  it("is looked for in Pulumi's own folder, wherever that is", () => {
    assert.equal(backendOf(around(login("https://b.example", "/pulumi/credentials.json"), { env: { PULUMI_HOME: "/pulumi" } })), "https://b.example");
    assert.equal(backendOf(around(login("https://c.example", "/c/credentials.json"), { env: { PULUMI_HOME: "/pulumi", PULUMI_CREDENTIALS_PATH: "/c" } })), "https://c.example");
  });

  it("is that of the program's own project, not of one that lies in between", () => {
    const files = { "/home/ann/shop/Pulumi.yaml": project("https://shop.example"), "/home/ann/shop/infra/Pulumi.yaml": project("https://other.example", "other") };
    assert.equal(backendOf(around(files, { env: { PULUMI_PROJECT: "shop" } })), "https://shop.example");
  });

  it("survives files that cannot be read", () => {
    assert.equal(backendOf(around({ "/home/ann/.pulumi/credentials.json": "{", "/home/ann/shop/Pulumi.yaml": "- [" })), "https://api.pulumi.com");
  });

  it("of files is a place on one machine, however it is written", () => {
    const here = "file:///home/ann/state on m1";
    assert.equal(given("file:///home/ann/state"), here);
    assert.equal(given("file:///home/ann/state/?no_tmp_dir=true"), here);
    assert.equal(given("file://~/state"), here);
    assert.equal(given("file://./../../state"), here);
    assert.equal(given("file:///link", { realPath: () => "/home/ann/state" }), here);
    assert.notEqual(given("file://~/state", { machine: () => "m2" }), here);
    assert.notEqual(given("file://~/state", { home: "/home/bob" }), here);
  });

  it("of a bucket is the bucket and its service, not how or by whom it is reached", () => {
    assert.equal(given("s3://states/shop?region=eu-west-1&profile=ann&awssdk=v2"), given("s3://states/shop/"));
    assert.notEqual(given("s3://states/shop"), given("s3://states/other"));
    assert.notEqual(given("s3://states?endpoint=minio.a:9000"), given("s3://states?endpoint=minio.b:9000"));
    const elsewhere = { PULUMI_BACKEND_URL: "s3://states", AWS_ENDPOINT_URL: "minio.a:9000" };
    assert.equal(backendOf(around({}, { env: elsewhere })), given("s3://states?endpoint=minio.a:9000"));
    const account = { PULUMI_BACKEND_URL: "azblob://states", AZURE_STORAGE_ACCOUNT: "ann" };
    assert.equal(backendOf(around({}, { env: account })), given("azblob://states?storage_account=ann"));
  });

  it("holds no password, and one text for every spelling of a service", () => {
    assert.equal(given("postgres://ann:geheim@DB.example/pulumi"), "postgres://db.example/pulumi");
    assert.equal(given("https://API.pulumi.com/"), "https://api.pulumi.com");
  });

  it("never fails, whatever stands there", () => {
    fc.assert(fc.property(fc.string(), fc.string(), (url, text) => {
      const files = { "/home/ann/shop/Pulumi.yaml": text, "/home/ann/.pulumi/credentials.json": text };
      assert.equal(typeof given(url), "string");
      assert.equal(typeof backendOf(around(files)), "string");
    }));
  });
});
