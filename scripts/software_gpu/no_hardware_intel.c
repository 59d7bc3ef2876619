// An Intel GPU that is not there: preloaded, this answers Mesa's driver what it asks the kernel.
//
// So its compiler makes code for GPUs that the machine does not have, as no_commands_driver.c has it do for
// AMD's. NO_HARDWARE_INTEL is the GPU's PCI id, in hexadecimal. Memory is memory; commands are taken and never
// run. What may be asked, and how it is answered, is in the kernel's drm.h and i915_drm.h.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <i915_drm.h>
#include <xf86drm.h>

#define EXPORT __attribute__((visibility("default")))

// How many execution units there are bears on how much runs at once, not on the code.
enum { SUBSLICES = 4, UNITS = 8 };

// What the driver opens as the GPU. To map it gives memory.
static char file[] = "/dev/zero";
static char *nodes[DRM_NODE_MAX] = {[DRM_NODE_PRIMARY] = file, [DRM_NODE_RENDER] = file};
static drmPciBusInfo bus;
static drmPciDeviceInfo pci = {.vendor_id = 0x8086};
static drmDevice gpu = {
    .nodes = nodes,
    .available_nodes = 1 << DRM_NODE_PRIMARY | 1 << DRM_NODE_RENDER,
    .bustype = DRM_BUS_PCI,
    .businfo.pci = &bus,
    .deviceinfo.pci = &pci,
};

EXPORT int drmGetDevices2(uint32_t flags, drmDevicePtr devices[], int most) {
    (void)flags;
    const char *id = getenv("NO_HARDWARE_INTEL");
    if (!id) return 0;
    pci.device_id = strtoul(id, NULL, 16);
    if (devices && most > 0) devices[0] = &gpu;
    return 1;
}

EXPORT int drmGetDevice2(int fd, uint32_t flags, drmDevicePtr *device) {
    (void)fd;
    return drmGetDevices2(flags, device, 1) == 1 ? 0 : -ENODEV;
}

EXPORT void drmFreeDevices(drmDevicePtr devices[], int count) { (void)devices, (void)count; }
EXPORT void drmFreeDevice(drmDevicePtr *device) { *device = NULL; }

EXPORT drmVersionPtr drmGetVersion(int fd) {
    (void)fd;
    static drmVersion version = {.version_major = 1, .version_minor = 6, .name_len = 4, .name = "i915"};
    return &version;
}

EXPORT void drmFreeVersion(drmVersionPtr version) { (void)version; }

static int parameter(int which) {
    switch (which) {
    case I915_PARAM_CHIPSET_ID: return pci.device_id;
    case I915_PARAM_CS_TIMESTAMP_FREQUENCY: return 19200000;
    case I915_PARAM_MMAP_GTT_VERSION: return 4; // buffers are mapped by offsets
    case I915_PARAM_SLICE_MASK: return 1;
    case I915_PARAM_SUBSLICE_MASK: return (1 << SUBSLICES) - 1;
    case I915_PARAM_EU_TOTAL: return SUBSLICES * UNITS;
    case I915_PARAM_REVISION:
    case I915_PARAM_HAS_USERPTR_PROBE:
    case I915_PARAM_HAS_EXEC_TIMELINE_FENCES: return 0;
    default: return 1; // whether it has something
    }
}

// One slice, all of whose subslices and units are there. Nothing else is known.
static void query(struct drm_i915_query_item *item) {
    enum { BYTES = sizeof(struct drm_i915_query_topology_info) + 2 + SUBSLICES };
    if (item->query_id != DRM_I915_QUERY_TOPOLOGY_INFO && item->query_id != DRM_I915_QUERY_GEOMETRY_SUBSLICES) {
        item->length = -EINVAL;
        return;
    }
    if (item->length >= BYTES) {
        struct drm_i915_query_topology_info *info = (void *)(uintptr_t)item->data_ptr;
        *info = (struct drm_i915_query_topology_info){
            .max_slices = 1,
            .max_subslices = SUBSLICES,
            .max_eus_per_subslice = UNITS,
            .subslice_offset = 1,
            .subslice_stride = 1,
            .eu_offset = 2,
            .eu_stride = 1,
        };
        info->data[0] = 1;
        info->data[1] = (1 << SUBSLICES) - 1;
        memset(info->data + 2, (1 << UNITS) - 1, SUBSLICES);
    }
    item->length = BYTES;
}

static void answer(unsigned long request, void *asked) {
    static uint32_t handles;
    switch (request) {
    case DRM_IOCTL_I915_GETPARAM: {
        struct drm_i915_getparam *of = asked;
        *of->value = parameter(of->param);
        break;
    }
    case DRM_IOCTL_I915_QUERY: {
        struct drm_i915_query *of = asked;
        struct drm_i915_query_item *items = (void *)(uintptr_t)of->items_ptr;
        for (uint32_t i = 0; i < of->num_items; i++) query(items + i);
        break;
    }
    case DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM: {
        struct drm_i915_gem_context_param *of = asked;
        of->value = of->param == I915_CONTEXT_PARAM_GTT_SIZE ? 1ull << 48 : 0;
        break;
    }
    case DRM_IOCTL_I915_GEM_GET_APERTURE: ((struct drm_i915_gem_get_aperture *)asked)->aper_size = 1ull << 48; break;
    case DRM_IOCTL_I915_GEM_GET_TILING: ((struct drm_i915_gem_get_tiling *)asked)->tiling_mode = I915_TILING_X; break;
    case DRM_IOCTL_I915_GEM_VM_CREATE: ((struct drm_i915_gem_vm_control *)asked)->vm_id = ++handles; break;
    case DRM_IOCTL_I915_GEM_CONTEXT_CREATE_EXT: ((struct drm_i915_gem_context_create *)asked)->ctx_id = ++handles; break;
    case DRM_IOCTL_I915_GEM_CREATE: ((struct drm_i915_gem_create *)asked)->handle = ++handles; break;
    case DRM_IOCTL_I915_GEM_CREATE_EXT: ((struct drm_i915_gem_create_ext *)asked)->handle = ++handles; break;
    case DRM_IOCTL_I915_GEM_USERPTR: ((struct drm_i915_gem_userptr *)asked)->handle = ++handles; break;
    case DRM_IOCTL_SYNCOBJ_CREATE: ((struct drm_syncobj_create *)asked)->handle = ++handles; break;
    default: break; // done
    }
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *asked = va_arg(list, void *);
    va_end(list);
    if (_IOC_TYPE(request) == DRM_IOCTL_BASE) {
        answer(request, asked);
        return 0;
    }
    static int (*next)(int, unsigned long, ...);
    if (!next) next = dlsym(RTLD_NEXT, "ioctl");
    return next(fd, request, asked);
}
