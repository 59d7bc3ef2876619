/** The grammar engine, and what holds answers to it, as a chunk of its own: loaded by `import("./grammar.js")` when a request has a grammar. */

export { openGrammars } from "../grammar/grammars.js";
export { Constraint } from "./constraint.js";
