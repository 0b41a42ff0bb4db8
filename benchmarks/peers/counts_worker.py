"""Runs in an environment that has h5py, scanpy and leidenalg, with a JSON argument as the task.

"convert" writes the arrays X and Y of an HDF5 file into an npz file. "leiden" clusters the points
of an npz file by the graph of their 15 nearest neighbours, at the resolution that gives so many
clusters; the labels replace the points in the file.
"""

import json
import sys

import numpy as np


def convert(task):
    """Write the arrays of an HDF5 file as npz."""
    import h5py

    with h5py.File(task["source"]) as file:
        np.savez_compressed(task["path"], X=file["X"][:], y=file["Y"][:].astype(int))


def leiden(task):
    """Cluster points."""
    points = np.load(task["path"])["X"]
    labels, resolution = leiden_labels(neighbour_graph(points), task["n_clusters"], task["seed"])
    np.savez(task["path"], labels=labels, resolution=resolution)


def neighbour_graph(points, n_neighbors=15):
    """Return scanpy's graph of nearest neighbours with its weights, those of UMAP."""
    import anndata
    import igraph
    import scanpy
    from scipy.sparse import triu

    cells = anndata.AnnData(points)
    scanpy.pp.neighbors(cells, n_neighbors=n_neighbors, use_rep="X")
    joined = triu(cells.obsp["connectivities"], 1).tocoo()
    edges = np.stack([joined.row, joined.col], 1)
    return igraph.Graph(len(points), edges.tolist(), edge_attrs={"weight": joined.data.tolist()})


def leiden_labels(graph, n_clusters, seed):
    """Bisect the resolution until there are so many clusters; else return the nearest."""
    low, high, best = 0.0, 8.0, None
    for _ in range(30):
        resolution = (low + high) / 2
        labels = partition(graph, resolution, seed)
        found = labels.max() + 1
        if best is None or abs(found - n_clusters) < abs(best[0].max() + 1 - n_clusters):
            best = labels, resolution
        if found == n_clusters:
            break
        low, high = (resolution, high) if found < n_clusters else (low, resolution)
    return best


def partition(graph, resolution, seed):
    """Return Leiden's labels at a resolution."""
    import leidenalg

    found = leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        weights="weight",
        resolution_parameter=resolution,
        n_iterations=-1,
        seed=seed,
    )
    return np.array(found.membership)


def main():
    """Do the task."""
    task = json.loads(sys.argv[1])
    {"convert": convert, "leiden": leiden}[task["do"]](task)


main()
