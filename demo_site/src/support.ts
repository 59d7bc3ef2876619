// What to do when this browser has no WebGPU, browser by browser.

export interface Advice {
  browser: string;
  steps: string[];
}

export const ADVICE: Readonly<Record<string, Advice>> = {
  chrome: {
    browser: "Chrome, Edge or another Chromium browser on a computer",
    steps: [
      "Update the browser: WebGPU is on by default since version 113 on Windows, macOS and ChromeOS.",
      "Turn on “Use graphics acceleration when available” in Settings → System and restart the browser.",
      "On Linux open chrome://flags, enable “Unsafe WebGPU Support” and “Vulkan”, and restart.",
      "Still nothing? Open chrome://gpu: the line “WebGPU” says why, most often an outdated graphics driver.",
    ],
  },
  android: {
    browser: "Chrome on Android",
    steps: [
      "Update Chrome: WebGPU is on since version 121, on Android 12 or newer with a Qualcomm, Arm or Imagination GPU.",
      "Open this page in Chrome itself, not inside another app.",
    ],
  },
  safari: {
    browser: "Safari on iPhone, iPad or Mac",
    steps: [
      "Update to iOS 26, iPadOS 26 or macOS 26: WebGPU is on by default from Safari 26.",
      "On iOS 18: Settings → Apps → Safari → Advanced → Feature Flags → WebGPU. Every browser on iOS follows this switch.",
    ],
  },
  firefox: {
    browser: "Firefox",
    steps: [
      "Update Firefox: WebGPU is on since version 141 on Windows and 145 on Macs with Apple silicon.",
      "Elsewhere open about:config, set dom.webgpu.enabled to true, and restart.",
    ],
  },
};

/** Which entry of ADVICE fits a user agent string; Chromium on a computer when nothing else does. */
export function browserOf(userAgent: string): string {
  if (/iPhone|iPad|iPod/.test(userAgent)) return "safari";
  if (/Firefox\//.test(userAgent)) return "firefox";
  if (/Android/.test(userAgent)) return "android";
  if (/Safari\//.test(userAgent) && !/Chrom(e|ium)\//.test(userAgent)) return "safari";
  return "chrome";
}

/** The advice for this browser first, the others after it. */
export function adviceFor(userAgent: string): [Advice, ...Advice[]] {
  const mine = browserOf(userAgent);
  const { [mine]: first, ...others } = ADVICE;
  return [first as Advice, ...Object.values(others)];
}
