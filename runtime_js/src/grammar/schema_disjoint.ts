/** Whether no value can match two branches of a `oneOf`, as far as types, constants and required properties tell. */
import type { Keywords, Node, Schema, SchemaMerger } from "./schema_merge.js";

const ALL = ["object", "array", "string", "number", "boolean", "null"];
const MAX_DEPTH = 5;

/** The first pair of branches that may both match. */
export function disjoint(
  branches: (Node | false)[],
  merger: SchemaMerger,
): [number, number] | undefined {
  for (let i = 0; i < branches.length; i++) {
    for (let j = 0; j < i; j++) {
      const [a, b] = [branches[j], branches[i]];
      if (a && b && !apart(a, b, merger, 0)) return [j, i];
    }
  }
  return undefined;
}

function apart(a: Node, b: Node, merger: SchemaMerger, depth: number): boolean {
  const [mine, theirs] = [values(a.keywords), values(b.keywords)];
  if (mine && theirs) return !mine.some((v) => theirs.includes(v));
  const shared = types(a.keywords).filter((type) => types(b.keywords).includes(type));
  return shared.every(
    (type) =>
      (type === "object" && depth < MAX_DEPTH && told(a, b, merger, depth)) ||
      (type === "number" && ranged(a, b)),
  );
}

/** By a property that both must have, of which no value fits both. */
function told(a: Node, b: Node, merger: SchemaMerger, depth: number): boolean {
  const required = (node: Node) => (node.keywords["required"] ?? []) as string[];
  const property = (node: Node, name: string) => {
    const all = (node.keywords["properties"] ?? {}) as Record<string, Schema>;
    return Object.hasOwn(all, name) ? merger.flatten(all[name] as Schema, "") : undefined;
  };
  return required(a).some((name) => {
    if (!required(b).includes(name)) return false;
    const [mine, theirs] = [property(a, name), property(b, name)];
    if (mine === undefined || theirs === undefined) return false;
    return mine === false || theirs === false || apart(mine, theirs, merger, depth + 1);
  });
}

function ranged(a: Node, b: Node): boolean {
  const below = (x: Keywords, y: Keywords) => {
    const top = (x["maximum"] ?? x["exclusiveMaximum"]) as number | undefined;
    const low = (y["minimum"] ?? y["exclusiveMinimum"]) as number | undefined;
    if (top === undefined || low === undefined) return false;
    const open = x["maximum"] === undefined || y["minimum"] === undefined;
    return top < low || (open && top === low);
  };
  return below(a.keywords, b.keywords) || below(b.keywords, a.keywords);
}

const values = (keywords: Keywords): string[] | undefined =>
  (keywords["enum"] as unknown[] | undefined)?.map((v) => JSON.stringify(v));

function types(keywords: Keywords): string[] {
  const said = (keywords["type"] as string[] | undefined)?.map((t) =>
    t === "integer" ? "number" : t,
  );
  const listed = (keywords["enum"] as unknown[] | undefined)?.map((v) =>
    v === null ? "null" : Array.isArray(v) ? "array" : typeof v,
  );
  return listed ?? said ?? ALL;
}
