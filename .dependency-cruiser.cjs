/** Who may import whom is eslint.config.mjs's; this finds circles, which ESLint's rules for them do not where types make them. */
module.exports = {
  forbidden: [{
    name: "no-circles",
    comment: "No two files import each other, types included, by whatever way (DESIGN.md, section 2): what both want goes a floor down.",
    severity: "error",
    from: {},
    to: { circular: true },
  }],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
  },
};
