/* A GenTL producer whose cameras can be unplugged: everything is the producer's it is linked to, but while the file
   SWITCH exists no device is there and none that is open answers.

   What a pulled cable looks like at this interface differs between producers, so the file says which: with "silent" in
   it no frame comes any more, with anything else waiting for a frame fails at once. Types as in GenTL 1.6. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef int32_t GC_ERROR;
enum { GC_ERR_SUCCESS = 0, GC_ERR_IO = -1010, GC_ERR_TIMEOUT = -1011 };

static int unplugged(void) { /* 0: no, 1: silent, 2: fails */
    char word[8] = "";
    FILE *file = fopen(SWITCH, "r");
    if (file == NULL) return 0;
    if (fgets(word, sizeof word, file) == NULL) word[0] = 0;
    fclose(file);
    return strncmp(word, "silent", 6) == 0 ? 1 : 2;
}

#define REAL(name) ((__typeof__(&name))dlsym(dlopen(PRODUCER, RTLD_LAZY), #name))

GC_ERROR EventGetData(void *event, void *buffer, size_t *size, uint64_t timeout_ms) {
    struct timespec wait = {timeout_ms / 1000, timeout_ms % 1000 * 1000000};
    switch (unplugged()) {
    case 0: return REAL(EventGetData)(event, buffer, size, timeout_ms);
    case 1: nanosleep(&wait, NULL); return GC_ERR_TIMEOUT;
    default: return GC_ERR_IO;
    }
}

/* Ports of cameras; the producer's own modules answer without any cable. */
static void *cameras[64];
static int known;

GC_ERROR DevGetPort(void *device, void **port) {
    GC_ERROR error = REAL(DevGetPort)(device, port);
    if (error == GC_ERR_SUCCESS) cameras[known++ % 64] = *port;
    return error;
}

static int gone(void *port) {
    for (int number = 0; number < 64; number++)
        if (cameras[number] == port) return unplugged();
    return 0;
}

GC_ERROR GCReadPort(void *port, uint64_t address, void *buffer, size_t *size) {
    return gone(port) ? GC_ERR_IO : REAL(GCReadPort)(port, address, buffer, size);
}

GC_ERROR GCWritePort(void *port, uint64_t address, const void *buffer, size_t *size) {
    return gone(port) ? GC_ERR_IO : REAL(GCWritePort)(port, address, buffer, size);
}

GC_ERROR IFGetNumDevices(void *interface, uint32_t *devices) {
    if (!unplugged()) return REAL(IFGetNumDevices)(interface, devices);
    *devices = 0;
    return GC_ERR_SUCCESS;
}
