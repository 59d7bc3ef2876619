/**
 * Patterns of the string formats of JSON Schema. Each gives valid texts only, by the RFC the format names; some leave out
 * rare ones (leap seconds, quoted mailboxes, addresses that mix IPv6 and IPv4).
 */
const DAYS =
  "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))" +
  "|(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)";
const TIME = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
const LABEL = "[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?";
const BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const GROUP = "[0-9a-f]{1,4}";
const IN_PATH = "([A-Za-z0-9._~!$&()*+,;=:@-]|%[0-9A-F]{2})";
const REST = `(/(${IN_PATH}|/)*)?(\\?(${IN_PATH}|[/?])*)?(#(${IN_PATH}|[/?])*)?`;
const AMOUNT = "\\d{1,9}";
const DURATION_TIME = `T(${AMOUNT}H(${AMOUNT}M)?(${AMOUNT}S)?|${AMOUNT}M(${AMOUNT}S)?|${AMOUNT}S)`;
const DURATION_DATE = `(${AMOUNT}Y(${AMOUNT}M)?(${AMOUNT}D)?|${AMOUNT}M(${AMOUNT}D)?|${AMOUNT}D)`;
const POINTER = "(/([^~/]|~[01])*)*";
const URI = `[a-z][a-z0-9+.-]{1,15}://${LABEL}(\\.${LABEL}){0,5}(:[1-5]?\\d{1,4})?${REST}`;

export const FORMATS: Readonly<Record<string, string>> = {
  date: DAYS,
  time: TIME,
  "date-time": `${DAYS}T${TIME}`,
  duration: `P(${DURATION_DATE}(${DURATION_TIME})?|${DURATION_TIME}|${AMOUNT}W)`,
  email: `[a-z0-9_+-]{1,30}(\\.[a-z0-9_+-]{1,30})?@(${LABEL}\\.){1,4}[a-z]{2,12}`,
  hostname: `${LABEL}(\\.${LABEL}){0,5}`,
  ipv4: `(${BYTE}\\.){3}${BYTE}`,
  ipv6:
    `((${GROUP}:){7}${GROUP}|(${GROUP}:){1,7}:|(${GROUP}:){1,6}:${GROUP}|(${GROUP}:){1,5}(:${GROUP}){2}` +
    `|(${GROUP}:){1,4}(:${GROUP}){3}|(${GROUP}:){1,3}(:${GROUP}){4}|(${GROUP}:){1,2}(:${GROUP}){5}` +
    `|${GROUP}:(:${GROUP}){6}|:(:${GROUP}){1,7}|::)`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
  uri: URI,
  "uri-reference": `(${URI}|/[A-Za-z0-9._~-]*${REST}|[A-Za-z0-9._~-]+${REST})`,
  "json-pointer": POINTER,
  "relative-json-pointer": `(0|[1-9]\\d{0,5})(#|${POINTER})`,
};
