// SHA-256 through libcrypto's EVP interface. A step that libcrypto refuses (it does not, for
// SHA-256 once set up) leaves the digits empty, which equals no digest.
#include "base/hash.h"

#include <stdbool.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/memory.h"

struct ecki_hash {
    EVP_MD_CTX *state;
    bool failed;
};

eck_status ecki_hash_create(ecki_hash **out, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_hash *hash = NULL;

    ECK_ALLOC(hash, 1);
    hash->state = EVP_MD_CTX_new();
    ECK_HAVE(hash->state);
    ECK_REQUIRE(EVP_DigestInit_ex(hash->state, EVP_sha256(), NULL) == 1, ECK_E_UNSUPPORTED, -1,
                "cannot start a digest: libcrypto has no SHA-256 here");
    *out = hash;
    hash = NULL;
done:
    ecki_hash_free(hash);
    return status;
}

void ecki_hash_add(ecki_hash *hash, const void *bytes, int64_t count)
{
    if (EVP_DigestUpdate(hash->state, bytes, (size_t)count) != 1) hash->failed = true;
}

void ecki_hash_hex(ecki_hash *hash, char hex_out[ECKI_HASH_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    if (EVP_DigestFinal_ex(hash->state, digest, &length) != 1 || length != 32) hash->failed = true;
    hex_out[0] = '\0';
    if (hash->failed) return;
    for (unsigned int i = 0; i < length; i++)
        snprintf(hex_out + 2 * i, 3, "%02x", digest[i]);
}

void ecki_hash_free(ecki_hash *hash)
{
    if (!hash) return;
    EVP_MD_CTX_free(hash->state);
    ecki_free(hash);
}
