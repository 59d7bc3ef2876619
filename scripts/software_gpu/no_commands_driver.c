// A Vulkan driver that is Mesa's for AMD GPUs, but for commands, which do nothing.
//
// Without a GPU, Mesa's driver can pretend to have one (RADV_FORCE_FAMILY): its compiler then works as
// ever, but recording commands, as Dawn does while it makes a device, crashes. So Dawn can compile
// kernels for GPUs that the machine does not have. It follows the loader's driver interface:
// https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderDriverInterface.md

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vulkan.h>

#define EXPORT __attribute__((visibility("default")))

// Mesa's library, which NO_COMMANDS_DRIVER names.
static void *of_driver(const char *name) {
    static void *driver;
    if (!driver) driver = dlopen(getenv("NO_COMMANDS_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    return driver ? dlsym(driver, name) : NULL;
}

static VkResult nothing(void) { return VK_SUCCESS; }

// Records or submits commands, or waits for them.
static int is_of_commands(const char *name) {
    static const char *const beginnings[] = {
        "vkCmd",         "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkResetCommand",
        "vkQueueSubmit", "vkQueueWaitIdle",      "vkDeviceWaitIdle",   "vkWaitForFences",
    };
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        if (!strncmp(name, beginnings[i], strlen(beginnings[i]))) return 1;
    }
    return 0;
}

static PFN_vkGetDeviceProcAddr of_device;

static PFN_vkVoidFunction device_proc(VkDevice device, const char *name) {
    PFN_vkVoidFunction function = of_device(device, name);
    return function && is_of_commands(name) ? (PFN_vkVoidFunction)nothing : function;
}

EXPORT PFN_vkVoidFunction vk_icdGetInstanceProcAddr(VkInstance instance, const char *name) {
    PFN_vkGetInstanceProcAddr next = of_driver("vk_icdGetInstanceProcAddr");
    PFN_vkVoidFunction function = next ? next(instance, name) : NULL;
    if (function && !strcmp(name, "vkGetDeviceProcAddr")) {
        of_device = (PFN_vkGetDeviceProcAddr)function;
        return (PFN_vkVoidFunction)device_proc;
    }
    return function && is_of_commands(name) ? (PFN_vkVoidFunction)nothing : function;
}

EXPORT PFN_vkVoidFunction vk_icdGetPhysicalDeviceProcAddr(VkInstance instance, const char *name) {
    PFN_vkGetInstanceProcAddr next = of_driver("vk_icdGetPhysicalDeviceProcAddr");
    return next ? next(instance, name) : NULL;
}

EXPORT VkResult vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    VkResult (*next)(uint32_t *) = of_driver("vk_icdNegotiateLoaderICDInterfaceVersion");
    return next ? next(version) : VK_ERROR_INCOMPATIBLE_DRIVER;
}
