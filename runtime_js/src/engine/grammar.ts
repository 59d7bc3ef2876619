/** The grammar engine, as a chunk of its own: loaded by `import("./grammar.js")` when a request has a grammar. */
export { openGrammars } from "../grammar/grammars.js";
