#!/usr/bin/env bash
# WebGPU without a GPU, for tests on Debian: Chromium, Dawn and wgpu on Mesa's lavapipe, a Vulkan
# driver that runs on the CPU with shader-f16 and subgroups, about ten times faster than
# SwiftShader. Usage: setup.sh DIR. Writes DIR/env.sh; what it exports is all that users of the
# software GPU need. A rerun with the same Chromium does nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

is_debian || die "The software GPU is set up on Debian only. Install Chrome on a machine with a GPU,
or name a browser that has WebGPU in WEBBUILD_CHROMIUM."
mkdir -p "$1"
dir=$(cd "$1" && pwd)

apt_install chromium libvulkan1 libvulkan-dev libdrm-dev mesa-vulkan-drivers gcc libc6-dev fonts-dejavu-core
version="$dir $(dpkg-query -W chromium mesa-vulkan-drivers) $(cat "$here"/* | sha256sum)"
[ "$(cat "$dir/version" 2>/dev/null)" != "$version" ] || exit 0
say "Setting up the software GPU in ${dir#"$root"/}"
rm -f "$dir/version"

# 1. Mesa 25. Debian 12 has 22.3, too old for Dawn: take the driver alone from backports, unpacked
#    beside the system's. Its own apt state keeps the machine's package lists as they are.
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
libraries=/usr/lib/$(gcc -print-multiarch)
if [ "$codename" = bookworm ]; then
  archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" { print $2; exit }')
  [ -n "$archive" ] || die "apt has no source for Debian $codename to find backports beside"
  apt=$dir/apt
  mkdir -p "$apt"/{lists/partial,archives/partial}
  rm -rf "$dir/mesa"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive bookworm-backports main" \
    >"$apt/sources.list"
  options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" download mesa-vulkan-drivers/bookworm-backports)
  dpkg -x "$apt"/mesa-vulkan-drivers_*.deb "$dir/mesa"
  rm -rf "$apt"
  libraries=$dir/mesa$libraries
fi
driver=$libraries/libvulkan_lvp.so
missing=$(ldd "$driver" | awk '/not found/ { print $1 }')
[ -z "$missing" ] || die "lavapipe lacks these libraries: $missing"
cat >"$dir/lavapipe_icd.json" <<JSON
{ "file_format_version": "1.0.0", "ICD": { "library_path": "$driver", "api_version": "1.4.305" } }
JSON

# 2. The layer that lets Chromium accept it.
mkdir -p "$dir/layer"
gcc -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden \
  -o "$dir/layer/libcpu_device_ids.so" "$here/cpu_device_ids_layer.c"
cat >"$dir/layer/cpu_device_ids.json" <<JSON
{
  "file_format_version": "1.1.2",
  "layer": {
    "name": "VK_LAYER_TEST_cpu_device_ids",
    "description": "tests only: a CPU device reports SwiftShader's ids",
    "type": "GLOBAL",
    "library_path": "$dir/layer/libcpu_device_ids.so",
    "api_version": "1.3.0",
    "implementation_version": "1",
    "functions": { "vkNegotiateLoaderLayerInterfaceVersion": "vkNegotiateLoaderLayerInterfaceVersion" }
  }
}
JSON

# 3. A Chromium whose "SwiftShader" is the system's Vulkan loader: hard links where the file system
#    allows them, so it costs no space.
rm -rf "$dir/chromium"
cp -al /usr/lib/chromium "$dir/chromium" 2>/dev/null ||
  { rm -rf "$dir/chromium" && cp -a /usr/lib/chromium "$dir/chromium"; }
rm -f "$dir/chromium/libvk_swiftshader.so"
cp -L "/usr/lib/$(gcc -print-multiarch)/libvulkan.so.1" "$dir/chromium/libvk_swiftshader.so"

# 4. Mesa's compilers for AMD and Intel GPUs, for figures and tests of what they make of kernels.
#    compiler MAKER DRIVER VARIABLE VALUE: MAKER.sh has the settings under which Dawn finds DRIVER.
compiler() {
  cat >"$dir/$1/icd.json" <<JSON
{ "file_format_version": "1.0.0", "ICD": { "library_path": "$2", "api_version": "1.4.305" } }
JSON
  cat >"$dir/$1.sh" <<ENV
export $3="$4"
export VK_DRIVER_FILES="$dir/$1/icd.json"
export VK_ICD_FILENAMES="$dir/$1/icd.json"
export XDG_RUNTIME_DIR="$dir"
unset VK_INSTANCE_LAYERS
ENV
}
rm -rf "$dir"/{amd,intel}{,.sh}
mkdir -p "$dir"/{amd,intel}
library=(gcc -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden)
"${library[@]}" -o "$dir/amd/libno_commands_driver.so" "$here/no_commands_driver.c" -ldl
compiler amd "$dir/amd/libno_commands_driver.so" \
  NO_COMMANDS_DRIVER "$libraries/libvulkan_radeon.so"
if [ -f "$libraries/libvulkan_intel.so" ]; then # on x86-64
  "${library[@]}" -I/usr/include/libdrm -o "$dir/intel/libno_hardware_intel.so" \
    "$here/no_hardware_intel.c" -ldl
  compiler intel "$libraries/libvulkan_intel.so" \
    LD_PRELOAD "$dir/intel/libno_hardware_intel.so"
fi

cat >"$dir/env.sh" <<ENV
export CHROMIUM_LAVAPIPE="$dir/chromium/chromium"
export VK_DRIVER_FILES="$dir/lavapipe_icd.json"
export VK_ICD_FILENAMES="$dir/lavapipe_icd.json"
export VK_LAYER_PATH="$dir/layer"
export VK_INSTANCE_LAYERS="VK_LAYER_TEST_cpu_device_ids"
export XDG_RUNTIME_DIR="$dir"
ENV
echo "$version" >"$dir/version"
