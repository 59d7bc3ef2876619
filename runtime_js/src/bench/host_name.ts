/** What runs this, with its version: `Chrome/150.0.0.0`. */
export function hostName(): string {
  const { userAgent } = globalThis.navigator ?? {};
  // Node 21 and later have a navigator too.
  const node = globalThis.process?.versions?.node;
  const browser = /(Edg|Firefox|HeadlessChrome|Chrome|Version)\/[\d.]+/.exec(userAgent ?? "")?.[0];
  return node ? `Node ${node} with Dawn` : (browser ?? userAgent ?? "");
}
