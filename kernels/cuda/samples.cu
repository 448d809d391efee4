// Samples on their way into a batch: rows of an array brought together, and labels as rows with a single one.
#include "common.cuh"

// Where the numbers lie that this replay takes: row n of the result is row order[begin + n] of the source, or, where
// there is no order, row begin + n.
template <class T>
struct Rows {
    Number<const T*> source;
    Number<const int64*> order;
    Number<uint64> begin;
};

// What one thread after the other takes of such rows: a piece, of which each row has so many.
template <class T>
struct Pieces {
    const T* source;
    const int64* order;
    int64 begin;
    Divider to_a_row;
    __device__ __forceinline__ Pieces(const Rows<T>& rows, Divider to_a_row)
        : source(rows.source.get()), order(rows.order.get()), begin((int64)rows.begin.get()), to_a_row(to_a_row) {}
    // Where piece i of the result is found among the source's.
    __device__ __forceinline__ int64 find(int i) const {
        int place = to_a_row.split(i);
        int64 row = order ? order[begin + i] : begin + i;
        return row * (int)to_a_row.divisor + place;
    }
};

// Pieces of a row as they are, a word each: the longest that rows can be cut into.
template <class Word>
__global__ void take_rows(Rows<unsigned char> rows, unsigned char* out, int count, Divider words) {
    Pieces<unsigned char> pieces(rows, words);
    HOST_CHECK(reinterpret_cast<uintptr_t>(pieces.source) % alignof(Word) == 0, "rows that do not begin with a word");
    for (int i = first_element(); i < count; i += element_step()) {
        reinterpret_cast<Word*>(out)[i] = reinterpret_cast<const Word*>(pieces.source)[pieces.find(i)];
    }
}

// Pieces of N numbers, each made one of another type.
template <class From, class To, int N>
__global__ void convert_rows(Rows<From> rows, To* out, int count, Divider words) {
    typedef Several<From, N> Read;
    typedef Several<To, N> Written;
    Pieces<From> pieces(rows, words);
    HOST_CHECK(reinterpret_cast<uintptr_t>(pieces.source) % alignof(Read) == 0, "rows that do not begin with a word");
    for (int i = first_element(); i < count; i += element_step()) {
        Read from = reinterpret_cast<const Read*>(pieces.source)[pieces.find(i)];
        Written to;
        for (int k = 0; k < N; ++k) to.cells[k] = (To)from.cells[k];
        reinterpret_cast<Written*>(out)[i] = to;
    }
}

// out[n, k] = 1 where k is label n.
template <class T>
__global__ void one_hot(const int64* labels, T* out, int count, Divider classes) {
    for (int i = first_element(); i < count; i += element_step()) {
        int n = i, k = classes.split(n);
        out[i] = labels[n] == k;
    }
}
