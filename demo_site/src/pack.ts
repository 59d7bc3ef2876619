/** The pack that ships with the site. */
export const EMBEDDED_PACK = "packs/demo/";
