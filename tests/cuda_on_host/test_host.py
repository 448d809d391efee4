"""The harness itself: small kernels with one mistake each, which it must find, and one without, which it must run."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tests.cuda_on_host import builder, device, stand_in
from tests.cuda_on_host.builder import CompilationError, library
from tests.cuda_on_host.launching import Function, LaunchError

REVERSE = """
template <class T>
__global__ void reverse(const T* x, T* y, int count) {
    __shared__ Shared<T, 64> tile;
    int i = threadIdx.x;
    tile[i] = x[blockIdx.x * 64 + i];
    __syncthreads();
    y[blockIdx.x * 64 + i] = tile[63 - i];
    if (i >= count) y[i] = 0;
}
"""
SHORT = [("Half", np.float16), ("BFloat", ml_dtypes.bfloat16)]
# Name of a kernel: what it has in place of what the correct one has.
MISTAKES = {
    "without_barrier": ("__syncthreads();", ""),
    "barrier_missed": ("__syncthreads();", "if (i < 63) __syncthreads();"),
    "two_barriers": ("__syncthreads();", "if (i < 63) {\n__syncthreads();\n} else {\n__syncthreads();\n}"),
    "index_too_large": ("tile[i] =", "tile[i + 1] ="),
    "index_negative": ("tile[i] =", "tile[-1] ="),
    "beside_shared_memory": ("tile[i] =", "if (i == 0) (&tile[63])[1] = 1; tile[i] ="),
    "filled_once": ("tile[i] = x[", "if (blockIdx.x == 0) tile[i] = x["),
    "behind_the_array": ("y[i] = 0", "y[64 * 3] = 0"),
    "before_the_array": ("y[i] = 0", "y[-1] = 0"),
    "one_place": ("if (i >= count) y[i] = 0;", "y[0] = i;"),
}
OTHERS = """
template <class T>
__global__ void shuffle_missed(const T* x, T* y, int) {
    if (threadIdx.x == 5) return;
    y[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, x[threadIdx.x], 1);
}
template <class T>
__global__ void total(const T* x, T* y, int) {
    T sum = x[blockIdx.x * 64 + threadIdx.x];
    for (int mask = 16; mask; mask /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, mask);
    y[blockIdx.x * 64 + threadIdx.x] = sum;
}
template <class T>
__global__ void copy(const T* x, T* y, int waits) {
    __shared__ Shared<T, 64> tile;
    tile.arrive(threadIdx.x, x + blockIdx.x * 64 + threadIdx.x, 1);
    host_commit();
    if (waits) host_wait(0);
    y[blockIdx.x * 64 + threadIdx.x] = tile[threadIdx.x];
}
"""
# All in one source: a library takes seconds to compile.
SOURCE = "\n".join([REVERSE, OTHERS, *[REVERSE.replace("reverse", name).replace(*m) for name, m in MISTAKES.items()]])
KERNELS = tuple(f"{name}<float>" for name in ("reverse", "shuffle_missed", "total", "copy", *MISTAKES))


@pytest.fixture(autouse=True)
def compiler():
    if device.on_gpu:
        pytest.skip("the harness is for machines without a GPU")
    with device.present():
        yield


def run(name: str, blocks: int = 3, count: int = 64, threads: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """What a kernel makes of some numbers, and these."""
    x = stand_in.asarray(np.arange(64 * blocks, dtype=np.float32))
    y = stand_in.empty(64 * blocks, np.float32)
    Function(SOURCE, f"{name}<float>", KERNELS)((blocks,), (threads,), (x, y, np.int32(count)))
    return y.get(), x.get()


@pytest.mark.parametrize("blocks", [1, 100])
def test_a_correct_kernel_runs(blocks):
    y, x = run("reverse", blocks)
    np.testing.assert_array_equal(y.reshape(-1, 64), x.reshape(-1, 64)[:, ::-1])


def test_fibers_switch_by_the_systems_means_too(monkeypatch):
    """What other processors than x86-64 and 64-bit Arm use."""
    monkeypatch.setattr(builder, "FLAGS", (*builder.FLAGS, "-DFIBERS_BY_UCONTEXT"))
    x, y = stand_in.asarray(np.arange(64, dtype=np.float32)), stand_in.empty(64, np.float32)
    # A source of its own, so that nothing kept from above serves.
    Function(REVERSE, "reverse<float>", ("reverse<float>",))((1,), (64,), (x, y, np.int32(64)))
    np.testing.assert_array_equal(y.get(), x.get()[::-1])


@pytest.mark.parametrize(("name", "message"), [
    ("without_barrier", "a race"),
    ("barrier_missed", r"waits at line \d+ for threads that never come"),
    ("two_barriers", "different barriers"),
    ("index_too_large", "an index outside shared memory"),
    ("index_negative", "an index outside shared memory"),
    ("beside_shared_memory", "beside shared memory"),
    ("behind_the_array", "wrote beside an array"),
    ("before_the_array", "wrote beside an array"),
    ("one_place", "a race"),
    ("shuffle_missed", "waits for its warp for threads that never come"),
])  # fmt: skip
def test_a_mistake_shows(name, message):
    with pytest.raises(LaunchError, match=message):
        run(name, count=63)


def test_more_threads_than_shared_memory_has_cells_show():
    with pytest.raises(LaunchError, match="an index outside shared memory"):
        run("reverse", threads=128)


def test_shared_memory_is_nan_at_the_start_of_every_block():
    """Also where the block before left it full of numbers."""
    y, _ = run("filled_once")
    np.testing.assert_array_equal(np.isnan(y), np.arange(192) >= 64)


def test_shuffles_hand_values_over_one_after_the_other():
    y, x = run("total")
    np.testing.assert_array_equal(y, np.repeat(x.reshape(-1, 32).sum(axis=1), 32))


@pytest.mark.parametrize("waits", [True, False])
def test_a_copy_arrives_when_it_is_waited_for(waits):
    y, x = run("copy", count=int(waits))
    np.testing.assert_array_equal(y, x if waits else np.full_like(x, np.nan))


def test_fragments_multiply_as_the_ptx_manual_lays_them_out():
    """Also that operands lose all but ten bits: 1 + 2**-11 becomes 1, a little more than that 1 + 2**-10."""
    from minicnn.kernels.cuda import loading

    source = loading.source("convolution.cu") + """
    template <class T>
    __global__ void fragments(const T* a, const T* b, T* d) {
        int g = threadIdx.x / 4, t = threadIdx.x % 4;
        float rows[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
        float columns[2] = {b[t * 8 + g], b[(t + 4) * 8 + g]}, sums[4] = {};
        uint32 left[4], right[2];
        for (int i = 0; i < 4; ++i) left[i] = operand<T>(__float_as_uint(rows[i]));
        for (int i = 0; i < 2; ++i) right[i] = operand<T>(__float_as_uint(columns[i]));
        multiply_fragments<T>(sums, left, right);
        for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
    }"""
    generator = np.random.default_rng(0)
    a, b = generator.integers(-9, 9, (16, 8)).astype(np.float32), generator.integers(-9, 9, (8, 8)).astype(np.float32)
    a[3, 5], a[9, 2] = 1 + 2**-11, 1 + 3 * 2**-12
    d = stand_in.empty((16, 8), np.float32)
    Function(source, "fragments<float>", ("fragments<float>",))((1,), (32,), (*map(stand_in.asarray, (a, b)), d))
    a[3, 5], a[9, 2] = 1, 1 + 2**-10
    np.testing.assert_array_equal(d.get(), a @ b)


def test_tf32_loses_as_much_as_it_gains():
    """Numbers of ten bits stay, no number becomes another by more than the last of them, NaN and infinity stay, too."""
    from minicnn.kernels.cuda import loading

    source = loading.source("convolution.cu") + """
    template <class T>
    __global__ void cut_off(const T* x, T* y, int count) {
        for (int i = threadIdx.x; i < count; i += 32) {
            y[i] = __uint_as_float(operand<T>(__float_as_uint(x[i])) & ~0x1FFFu);
        }
    }"""
    exact = (1 + np.arange(1024) / 1024).astype(np.float32)
    spread = np.exp2(np.random.default_rng(0).uniform(-9, 9, 20000)).astype(np.float32)
    odd = np.float32([np.nan, -np.nan, np.inf, -np.inf, 0, -0.0])
    x = np.concatenate([exact, -exact * 2**40, spread, odd, np.uint32([0x7FFFFFFF, 0xFFFFFFFF]).view(np.float32)])
    y = stand_in.empty(x.shape, np.float32)
    Function(source, "cut_off<float>", ("cut_off<float>",))((1,), (32,), (stand_in.asarray(x), y, np.int32(x.size)))
    found = y.get()
    np.testing.assert_array_equal(found[: 2 * 1024], x[: 2 * 1024])
    np.testing.assert_array_equal(found[-len(odd) - 2 :], x[-len(odd) - 2 :])
    error = found[2048:][: len(spread)] / spread.astype(np.float64) - 1
    assert abs(error).max() < 2**-10 and abs(error.mean()) < 2**-16


@pytest.mark.parametrize(("name", "dtype"), SHORT)
def test_fragments_of_pairs_multiply_as_the_ptx_manual_lays_them_out(name, dtype):
    from minicnn.kernels.cuda import loading

    source = loading.source("convolution.cu") + """
    template <class T>
    __global__ void fragments_of(const T* a, const T* b, float* d) {
        int g = threadIdx.x / 4, t = threadIdx.x % 4;
        auto pair = [](T low, T high) { return (uint32)low.bits | (uint32)high.bits << 16; };
        uint32 left[4], right[2];
        for (int i = 0; i < 4; ++i) {
            const T* from = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
            left[i] = pair(from[0], from[1]);
        }
        for (int i = 0; i < 2; ++i) {
            int k = 2 * t + i * 8;
            right[i] = pair(b[k * 8 + g], b[(k + 1) * 8 + g]);
        }
        float sums[4] = {};
        multiply_fragments<T>(sums, left, right);
        for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
    }"""
    generator = np.random.default_rng(0)
    a, b = (generator.integers(-9, 9, shape).astype(dtype) for shape in ((16, 16), (16, 8)))
    d, kernel = stand_in.empty((16, 8), np.float32), f"fragments_of<{name}>"
    Function(source, kernel, (kernel,))((1,), (32,), (*map(stand_in.asarray, (a, b)), d))
    np.testing.assert_array_equal(d.get(), a.astype(np.float32) @ b.astype(np.float32))


@pytest.mark.parametrize(("name", "dtype"), SHORT)
def test_numbers_of_16_bits_are_rounded_to_the_nearest_and_widened(name, dtype):
    """All of them, what lies half-way between two and next to that, and what is too large or no number."""
    from minicnn.kernels.cuda import loading

    source = loading.source("elementwise.cu") + """
    template <class T>
    __global__ void halve(const float* x, T* y, float* z, int count) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < count) y[i] = x[i], z[i] = y[i];
    }"""
    halves = np.arange(2**15, dtype=np.uint16).view(dtype).astype(np.float32)
    finite = halves[np.isfinite(halves)]
    between = finite[:-1] / 2 + finite[1:] / 2
    near = [np.nextafter(between, np.float32(0)), between, np.nextafter(between, np.float32(3e38))]
    x = np.concatenate([halves, *near, np.float32([65519.99, 65520, 1e30, 1e-30, 3.3961e38, 3.4e38])])
    x = np.concatenate([x, -x])
    y, z = stand_in.empty(x.shape, dtype), stand_in.empty(x.shape, np.float32)
    Function(source, f"halve<{name}>", (f"halve<{name}>",))(
        (-(-x.size // 256),), (256,), (stand_in.asarray(x), y, z, np.int32(x.size))
    )
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(dtype)
    number = ~np.isnan(x)
    np.testing.assert_array_equal(y.get().view(np.uint16)[number], expected.view(np.uint16)[number])
    assert np.isnan(y.get()[~number].astype(np.float32)).all()
    np.testing.assert_array_equal(z.get(), expected.astype(np.float32))


@pytest.mark.parametrize("first", [-4, 0, 60, 61, 64, 1000])
@pytest.mark.parametrize("how", ["load", "copy"])
def test_what_is_read_beside_an_array_shows(how, first):
    """On a GPU it may be the end of the kernel, or nothing at all."""
    from minicnn.kernels.cuda import loading

    source = loading.source("convolution.cu") + """
    template <class T>
    __global__ void load_four(const T* x, T* y, int first) {
        T four[4];
        load<4>(four, x + first);
        store(y, 0, four);
    }
    template <class T>
    __global__ void copy_four(const T* x, T* y, int first) {
        __shared__ Shared<T, 4> tile;
        copy_async<4>(tile, 0, x + first, first < 1000);
        commit_copies();
        wait_for_copies<0>();
        T four[4];
        load<4>(four, tile.four(0));
        store(y, 0, four);
    }"""
    x, y = stand_in.asarray(np.arange(64, dtype=np.float32)), stand_in.empty(4, np.float32)
    kernels = "load_four<float>", "copy_four<float>"
    kernel = Function(source, f"{how}_four<float>", kernels)
    if first in (0, 60) or (how, first) == ("copy", 1000):  # where nothing is inside, nothing is read
        kernel((1,), (1,), (x, y, np.int32(first)))
        np.testing.assert_array_equal(y.get(), np.arange(first, first + 4) if first < 64 else 0)
        return
    with pytest.raises(LaunchError, match=r"a read beside an array|piece|not aligned"):
        kernel((1,), (1,), (x, y, np.int32(first)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (64, "whose size in a kernel is not plain to see"),
        (np.int64(64), "the parameter is i of 4 bytes"),
        (np.float32(64), "the parameter is i of 4 bytes"),
    ],
)
def test_an_argument_of_another_type_is_refused(argument, message):
    x, y = stand_in.asarray(np.zeros(64, np.float32)), stand_in.empty(64, np.float32)
    with pytest.raises(LaunchError, match=message):
        Function(SOURCE, "reverse<float>", KERNELS)((1,), (64,), (x, y, argument))


@pytest.mark.parametrize("array", [np.zeros(64, np.float32), stand_in.asarray(np.zeros(64))], ids=["host", "float64"])
def test_an_array_that_the_kernel_cannot_read_is_refused(array):
    y = stand_in.empty(64, np.float32)
    with pytest.raises(LaunchError, match=r"no array on the device|an array of float64"):
        Function(SOURCE, "reverse<float>", KERNELS)((1,), (64,), (array, y, np.int32(64)))


@pytest.mark.parametrize(("grid", "block"), [((0,), (64,)), ((1, 65536), (64,)), ((1,), (1025,))])
def test_sizes_that_no_gpu_has_are_refused(grid, block):
    x = stand_in.asarray(np.zeros(64, np.float32))
    with pytest.raises(LaunchError, match=r"a grid of|a block of"):
        Function(SOURCE, "reverse<float>", KERNELS)(grid, block, (x, x, np.int32(64)))


def test_a_source_that_does_not_compile_says_why():
    with pytest.raises(CompilationError, match="reverse"):
        library(REVERSE.replace("int i =", "int j ="), ("reverse<float>",))


# --- the stand-in for CuPy -------------------------------------------------------------------------------------------


def test_device_arrays_never_become_numpys_on_their_own():
    x = stand_in.asarray(np.ones(3))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    for operation in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: np.where(x > 0, np.ones(3), x)):
        with pytest.raises(TypeError):
            operation()


def test_results_stay_on_the_device_and_copies_are_counted():
    before = stand_in.transfers.to_host, stand_in.transfers.to_device
    x = stand_in.asarray(np.arange(3.0))
    total = np.sum(np.exp(x) * np.float32(2) + 1)
    assert isinstance(total, stand_in.ndarray) and total.shape == ()
    assert stand_in.transfers.to_host == before[0]
    assert float(total) == pytest.approx(2 * np.exp(np.arange(3)).sum() + 3)
    assert (stand_in.transfers.to_host, stand_in.transfers.to_device) == (before[0] + 1, before[1] + 1)


def test_fresh_memory_is_nan_and_views_share_it():
    x = stand_in.empty((2, 3), np.float32)
    assert np.isnan(x.get()).all()
    x[1][:] = 5.0
    assert (x.get()[1] == 5).all() and x[1].base is not None and x.base is None
