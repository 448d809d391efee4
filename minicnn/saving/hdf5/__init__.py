"""Reading HDF5 files without trusting them.

Keras keeps weights in HDF5, and libhdf5, which h5py wraps, is not made for hostile files: of some thousand files with a
byte or two changed, it ended the process on several and never came back from one. This reader is Python that checks
every address and size before it follows it, and it knows just what weights need: groups, attributes, and datasets of
numbers in one piece or in compressed chunks. Links out of the file, virtual datasets, references and objects are
refused. Files are written with h5py.

The HDF5 File Format Specification, version 3.0, https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html,
whose section numbers the comments name.
"""

from __future__ import annotations

from minicnn.saving.hdf5.reader import Dataset, Group, open_hdf5

__all__ = ["Dataset", "Group", "open_hdf5"]
