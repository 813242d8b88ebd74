// The three proofs of one decomposition agree with each other and with the truth, in every form and lane.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/svd_job.h"

static void proofs_agree(void **state)
{
    (void)state;
    const uint32_t wants[] = { ECK_WANT_LEFT | ECK_WANT_RIGHT, ECK_WANT_COMPACT, ECK_WANT_FULL };
    const eck_dtype stores[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16 };
    for (int t = 0; t < 36; t++) {
        sample a = sample_create(t % 2 ? 48 : 31, t % 2 ? 31 : 48,
                                 t % 4 < 2 ? ECK_DTYPE_F32 : ECK_DTYPE_F64, t % 5 ? 0.9 : 1.0,
                                 (uint64_t)t);
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rank = 1 + t % 30;
        options.want = wants[t % 3];
        options.store = stores[t / 3 % 3];
        options.engine = t % 7 == 0 ? ECK_ENGINE_GOLUB_KAHAN : ECK_ENGINE_AUTO;
        for (int p = 0; p < 3; p++) {
            eck_svd *svd = NULL;
            eck_error err = ECK_ERROR_INIT;
            options.proof = (eck_proof)p;
            expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
            const bool compact = options.want == ECK_WANT_COMPACT;
            const double error =
                true_error(&a, svd->u, compact ? NULL : svd->s->data, svd->v, svd->rank);
            const eck_certificate *const c = &svd->certificate;
            assert_true(c->proof == options.proof && c->stored == options.store);
            assert_true(c->error_low <= error && error <= c->error_high);
            assert_true(c->optimum_low <= error && c->optimum_low <= c->optimum_high &&
                        c->optimum_high <= c->error_high);
            if (p < 2 && error > c->floor)
                expect_at_most("claim over truth", c->error_high / error, 1.1);
            if (p < 2 && c->optimum_low > 0.0)
                assert_true(c->excess_high >= error / c->optimum_high - 1.0 - 1e-12);
            assert_true((c->failure > 0.0) == (p == 2));
            eck_svd_free(svd);
        }
        sample_free(&a);
    }
}

// Values alone carry the optimum itself.
static void values_alone(void **state)
{
    (void)state;
    sample a = sample_create(30, 20, ECK_DTYPE_F32, 0.8, 1);
    for (int rank = 0; rank <= 20; rank += 5) {
        eck_svd_options options = ECK_SVD_OPTIONS_INIT;
        options.rank = rank;
        options.want = ECK_WANT_VALUES;
        eck_svd *svd = NULL;
        eck_error err = ECK_ERROR_INIT;
        expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
        const double *const s = svd->s->data;
        double tail2 = 0.0, norm2 = 0.0;
        for (int i = 19; i >= 0; i--) {
            norm2 += s[i] * s[i];
            tail2 += i >= rank ? s[i] * s[i] : 0.0;
        }
        assert_true(fabs(svd->certificate.error - sqrt(tail2 / norm2)) < 1e-14);
        assert_true(svd->certificate.proof == ECK_PROOF_TAIL &&
                    svd->certificate.stored == ECK_DTYPE_F64);
        assert_true(fabs(svd->certificate.norm2 / norm2 - 1.0) < 1e-13);
        eck_svd_free(svd);
    }
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(proofs_agree),
                                        cmocka_unit_test(values_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
