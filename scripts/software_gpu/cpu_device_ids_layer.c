// A Vulkan layer for tests on machines without a GPU.
//
// Chromium offers WebGPU on a CPU Vulkan device only if that device carries the vendor and device
// id of SwiftShader. This layer gives those two ids to every CPU device (Mesa's lavapipe) and
// changes nothing else. It follows the loader's layer interface, version 2:
// https://github.com/KhronosGroup/Vulkan-Loader/blob/main/docs/LoaderLayerInterface.md

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#define SWIFTSHADER_VENDOR_ID 0x1AE0
#define SWIFTSHADER_DEVICE_ID 0xC0DE

// What comes after this layer, for one instance. Instances live in a short list: a browser process
// makes a handful of them.
typedef struct Instance {
    void *key;  // the loader's dispatch table, shared by an instance and its physical devices
    PFN_vkGetInstanceProcAddr next_proc;
    PFN_vkDestroyInstance next_destroy;
    PFN_vkGetPhysicalDeviceProperties next_properties;
    PFN_vkGetPhysicalDeviceProperties2 next_properties2;
    struct Instance *next;
} Instance;

static Instance *instances;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// The first word of every dispatchable handle points to the loader's dispatch table.
static void *key_of(const void *handle) { return *(void *const *)handle; }

static Instance *find(const void *handle) {
    pthread_mutex_lock(&lock);
    Instance *i = instances;
    while (i && i->key != key_of(handle)) i = i->next;
    pthread_mutex_unlock(&lock);
    return i;
}

static void rename_cpu(VkPhysicalDeviceProperties *properties) {
    if (properties->deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU) return;
    properties->vendorID = SWIFTSHADER_VENDOR_ID;
    properties->deviceID = SWIFTSHADER_DEVICE_ID;
}

static VKAPI_ATTR void VKAPI_CALL get_properties(VkPhysicalDevice device,
                                                 VkPhysicalDeviceProperties *properties) {
    find(device)->next_properties(device, properties);
    rename_cpu(properties);
}

static VKAPI_ATTR void VKAPI_CALL get_properties2(VkPhysicalDevice device,
                                                  VkPhysicalDeviceProperties2 *properties) {
    find(device)->next_properties2(device, properties);
    rename_cpu(&properties->properties);
}

// The loader hands each layer its link in the chain inside VkInstanceCreateInfo::pNext.
static VkLayerInstanceCreateInfo *find_link(const VkInstanceCreateInfo *info) {
    const VkLayerInstanceCreateInfo *link = info->pNext;
    while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO &&
                     link->function == VK_LAYER_LINK_INFO)) {
        link = link->pNext;
    }
    return (VkLayerInstanceCreateInfo *)link;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator,
                                                      VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = find_link(info);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    PFN_vkGetInstanceProcAddr next_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;  // the next layer reads its own link

    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)next_proc(VK_NULL_HANDLE, "vkCreateInstance");
    Instance *i = malloc(sizeof *i);
    if (!create || !i) {
        free(i);
        return VK_ERROR_INITIALIZATION_FAILED;
    }
    VkResult result = create(info, allocator, instance);
    if (result != VK_SUCCESS) {
        free(i);
        return result;
    }

    i->key = key_of(*instance);
    i->next_proc = next_proc;
    i->next_destroy = (PFN_vkDestroyInstance)next_proc(*instance, "vkDestroyInstance");
    i->next_properties = (PFN_vkGetPhysicalDeviceProperties)next_proc(
        *instance, "vkGetPhysicalDeviceProperties");
    i->next_properties2 = (PFN_vkGetPhysicalDeviceProperties2)next_proc(
        *instance, "vkGetPhysicalDeviceProperties2");
    if (!i->next_properties2) {  // Vulkan 1.0 with VK_KHR_get_physical_device_properties2
        i->next_properties2 = (PFN_vkGetPhysicalDeviceProperties2)next_proc(
            *instance, "vkGetPhysicalDeviceProperties2KHR");
    }
    pthread_mutex_lock(&lock);
    i->next = instances;
    instances = i;
    pthread_mutex_unlock(&lock);
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance instance,
                                                   const VkAllocationCallbacks *allocator) {
    if (!instance) return;
    pthread_mutex_lock(&lock);
    Instance **at = &instances;
    while ((*at)->key != key_of(instance)) at = &(*at)->next;
    Instance *i = *at;
    *at = i->next;
    pthread_mutex_unlock(&lock);
    i->next_destroy(instance, allocator);
    free(i);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance instance,
                                                                  const char *name) {
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } ours[] = {
        {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)get_instance_proc},
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkDestroyInstance", (PFN_vkVoidFunction)destroy_instance},
        {"vkGetPhysicalDeviceProperties", (PFN_vkVoidFunction)get_properties},
        {"vkGetPhysicalDeviceProperties2", (PFN_vkVoidFunction)get_properties2},
        {"vkGetPhysicalDeviceProperties2KHR", (PFN_vkVoidFunction)get_properties2},
    };
    for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) {
        if (!strcmp(name, ours[k].name)) return ours[k].function;
    }
    Instance *i = instance ? find(instance) : NULL;
    return i ? i->next_proc(instance, name) : NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *negotiation) {
    negotiation->loaderLayerInterfaceVersion = 2;
    negotiation->pfnGetInstanceProcAddr = get_instance_proc;
    negotiation->pfnGetDeviceProcAddr = NULL;
    negotiation->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
