"""Coupled labels and merged components against enumeration, scikit-learn and planted truths."""

from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator
from scipy.special import log_softmax, logsumexp, softmax
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from sfumato.coupling import (
    coupled_bound,
    disagreement,
    edge_information,
    mean_field,
    merge_components,
    neighbour_graph,
    neighbour_votes,
)
from sfumato.coupling.merging import _agglomerate, _information_loss, _link_loss

# All 3^7 = 2187 labellings of seven rows.
N, K = 7, 3
LABELLINGS = np.array(list(product(range(K), repeat=N)))


class SmallGraph:
    """Seven rows, three labels, and everything about them by enumeration."""

    def __init__(self, seed, strength):
        rng = np.random.default_rng(seed)
        self.strength = strength
        upper = np.triu(rng.random((N, N)) * (rng.random((N, N)) < 0.6), 1)
        self.weights = csr_array(upper + upper.T)
        log_prior = log_softmax(rng.normal(size=K))
        self.log_evidence = log_prior + rng.normal(size=(N, K)) * 2
        differ = LABELLINGS[:, :, None] != LABELLINGS[:, None, :]
        penalty = strength * (upper * differ).sum(axis=(1, 2))
        self.log_z = logsumexp(log_prior[LABELLINGS].sum(axis=1) - penalty)
        self.log_joint = self.log_evidence[np.arange(N), LABELLINGS].sum(axis=1) - penalty
        self.exact = logsumexp(self.log_joint) - self.log_z
        self.some_r = rng.dirichlet(np.ones(K), size=N)

    def bound(self, r):
        return coupled_bound(r, self.log_evidence, self.weights, self.strength)

    def divergence(self, r):
        """KL of the factorised posterior to the exact one, over all labellings."""
        log_q = np.log(r)[np.arange(N), LABELLINGS].sum(axis=1)
        log_p = self.log_joint - logsumexp(self.log_joint)
        return np.exp(log_q) @ (log_q - log_p)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_coupled_bound_misses_the_exact_evidence_by_the_exact_divergence(seed, strength):
    graph = SmallGraph(seed, strength)
    best = mean_field(graph.log_evidence, graph.weights, strength)
    for r in (graph.some_r, best):
        # With the dropped -log Z: an equality, up to the rounding of 2187 terms.
        with_z = graph.bound(r) - graph.log_z
        assert with_z + graph.divergence(r) == pytest.approx(graph.exact, abs=1e-9)
        assert graph.bound(r) <= with_z + 1e-9
        assert with_z <= graph.exact + 1e-9
    assert graph.log_z <= 1e-9


def test_the_bound_becomes_tight_with_the_square_of_the_strength():
    strengths = np.array([1.0, 0.1, 0.01, 0.0])
    gaps = []
    for strength in strengths:
        graph = SmallGraph(0, strength)
        r = mean_field(graph.log_evidence, graph.weights, strength, max_sweeps=200)
        gaps.append(graph.exact - (graph.bound(r) - graph.log_z))
    # A divergence is quadratic near its zero: a tenth of the strength, a hundredth of the gap.
    assert gaps[1] / gaps[2] == pytest.approx(100, rel=0.1)
    assert gaps[0] > gaps[1]
    assert gaps[3] == pytest.approx(0.0, abs=1e-12)


def test_disagreement_is_half_the_expected_weight_to_neighbours_of_another_label():
    graph = SmallGraph(0, 1.0)
    dense = graph.weights.toarray()
    found = disagreement(graph.some_r, graph.weights)
    for i in range(N):
        others = (1 - graph.some_r @ graph.some_r[i]) * dense[i]
        assert found[i] == pytest.approx(others.sum() / 2)


def bipartite(n):
    """Every row of one half is a neighbour of every row of the other: lambda_min = -n."""
    return np.block([[np.zeros((n, n)), np.ones((n, n))], [np.ones((n, n)), np.zeros((n, n))]])


def repelling(n):
    """Neighbours that would rather differ: -n is an eigenvalue, and no eigenvalue exceeds 0."""
    return -np.ones((2 * n, 2 * n))


def random_signs(n):
    upper = np.triu(np.random.default_rng(1).normal(size=(2 * n, 2 * n)), 1)
    return upper + upper.T


def undamped(r, log_evidence, weights, strength):
    return softmax(log_evidence + strength * (weights @ r), axis=1)


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("graph", [bipartite, repelling, random_signs])
@pytest.mark.parametrize("seed", range(3))
def test_mean_field_never_lowers_the_bound_from_any_start(graph, strength, seed):
    rng = np.random.default_rng(seed)
    weights, evidence = graph(5), rng.normal(size=(10, K))
    starts = [rng.dirichlet(np.full(K, a), size=10) for a in (0.02, 1.0, 50.0)]
    starts += [np.eye(K)[rng.integers(K, size=10)], np.full((10, K), 1 / K)]
    for start in starts:
        bounds = [coupled_bound(start, evidence, weights, strength)]
        for sweeps in range(1, 12):
            r = mean_field(evidence, weights, strength, start=start, max_sweeps=sweeps)
            np.testing.assert_allclose(r.sum(axis=1), 1.0)
            bounds.append(coupled_bound(r, evidence, weights, strength))
        # Rounding of a sum of some hundred nats.
        assert np.diff(bounds).min() >= -1e-10


@pytest.mark.parametrize("graph", [bipartite, repelling])
def test_the_undamped_update_oscillates_where_mean_field_climbs(graph):
    rng = np.random.default_rng(0)
    weights, strength = graph(5), 3.0
    halves = np.repeat([0, 1], 5) if graph is bipartite else np.zeros(10, dtype=int)
    # What every row has to itself speaks for the start; all neighbours speak against it.
    start = np.eye(2)[halves] * 0.8 + 0.1
    evidence = np.log(start) + 0.01 * rng.normal(size=(10, 2))
    before = coupled_bound(start, evidence, weights, strength)
    r, bounds = start, []
    for _ in range(20):
        r = undamped(r, evidence, weights, strength)
        bounds.append(coupled_bound(r, evidence, weights, strength))
    climbed = mean_field(evidence, weights, strength, start=start)
    # The halves, or all rows, change their labels at every step and never settle.
    assert abs(undamped(r, evidence, weights, strength) - r).max() > 0.5
    assert bounds[0] < before - 1
    assert coupled_bound(climbed, evidence, weights, strength) > max(before, *bounds) + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_fixed_point_satisfies_its_equation(seed):
    graph = SmallGraph(seed, 0.8)
    r = graph.some_r
    for _ in range(100):
        r = mean_field(graph.log_evidence, graph.weights, 0.8, start=r)
    expected = undamped(r, graph.log_evidence, graph.weights, 0.8)
    # A sweep shrinks the error by a constant factor: 100 calls of one or more leave rounding.
    np.testing.assert_allclose(r, expected, atol=1e-9)


def test_without_strength_mean_field_is_the_softmax_whatever_the_start():
    graph = SmallGraph(0, 0.0)
    expected = softmax(graph.log_evidence, axis=1)
    for start in (None, graph.some_r):
        found = mean_field(graph.log_evidence, graph.weights, 0.0, start=start)
        np.testing.assert_allclose(found, expected)


def test_any_operator_with_a_product_is_a_graph():
    graph = SmallGraph(0, 1.0)
    operator = aslinearoperator(graph.weights)
    found = mean_field(graph.log_evidence, operator, 1.0)
    np.testing.assert_allclose(found, mean_field(graph.log_evidence, graph.weights, 1.0))
    assert coupled_bound(found, graph.log_evidence, operator, 1.0) == pytest.approx(
        graph.bound(found)
    )


@pytest.mark.parametrize(("n", "k"), [(30, 4), (5, 15), (2, 1)])
def test_the_graph_is_the_symmetrised_list_of_nearest_neighbours(n, k):
    points = np.random.default_rng(0).normal(size=(n, 3))
    graph = neighbour_graph(points, k).toarray()
    k = min(k, n - 1)
    distances = np.linalg.norm(points[:, None] - points[None, :], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.zeros((n, n))
    np.put_along_axis(nearest, distances.argsort(axis=1)[:, :k], 1.0, axis=1)
    np.testing.assert_array_equal(graph, (nearest + nearest.T) / 2)
    assert graph.sum() == n * k


def test_duplicates_are_each_others_neighbours_and_no_row_is_its_own():
    points = np.repeat(np.random.default_rng(0).normal(size=(4, 2)), 6, axis=0)
    # Six copies of each of four points: five others are at distance 0.
    graph = neighbour_graph(points, 5).toarray()
    assert np.diag(graph).sum() == 0
    np.testing.assert_array_equal(graph, graph.T)
    np.testing.assert_array_equal(graph, np.kron(np.eye(4), np.ones((6, 6)) - np.eye(6)))
    # Fewer neighbours than copies: which of them is open, how many is not.
    few = neighbour_graph(points, 2).toarray()
    assert np.diag(few).sum() == 0
    assert few.sum() == 24 * 2


def test_votes_are_the_nearest_rows_responsibilities_and_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(50, 3)), rng.normal(size=(20, 3))
    r = rng.dirichlet(np.ones(K), size=50)
    votes = neighbour_votes(queries, points, r, 7)
    nearest = np.linalg.norm(queries[:, None] - points[None, :], axis=2).argsort(axis=1)[:, :7]
    np.testing.assert_allclose(votes, r[nearest].sum(axis=1))
    alone = np.concatenate([neighbour_votes(queries[i : i + 1], points, r, 7) for i in range(20)])
    np.testing.assert_array_equal(votes, alone)


def test_votes_of_fewer_rows_than_neighbours_are_those_of_all_rows():
    r = np.random.default_rng(0).dirichlet(np.ones(K), size=4)
    votes = neighbour_votes(np.zeros((1, 2)), np.arange(8.0).reshape(4, 2), r, 15)
    np.testing.assert_allclose(votes, r.sum(axis=0, keepdims=True))


def random_joint(m, seed):
    counts = np.random.default_rng(seed).integers(0, 20, size=(m, m))
    return counts + counts.T


@pytest.mark.parametrize("seed", range(4))
def test_the_edge_information_equals_scikit_learns_mutual_information(seed):
    joint = random_joint(6, seed)
    expected = mutual_info_score(None, None, contingency=joint)
    assert edge_information(joint) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_a_step_is_the_difference_of_the_edge_information(seed):
    joint = random_joint(6, seed) / random_joint(6, seed).sum()
    losses = _information_loss(joint)
    for a, b in product(range(6), repeat=2):
        if a == b:
            continue
        labels = np.arange(6)
        labels[b] = a
        member = np.eye(6)[labels]
        difference = edge_information(joint) - edge_information(member.T @ joint @ member)
        assert losses[a, b] == pytest.approx(difference, abs=1e-12)
        # Data processing: joining tells less, never more.
        assert losses[a, b] >= -1e-12


def grouped_information(joint, labels):
    member = np.eye(labels.max() + 1)[labels]
    return edge_information(member.T @ joint @ member)


def test_merging_finds_the_most_informative_partition_of_all_nearly_always():
    member = np.eye(3)[np.array(list(product(range(3), repeat=7)))]
    ratios = []
    for seed in range(20):
        joint = random_joint(7, seed)
        tables = np.einsum("pag,ab,pbh->pgh", member, joint, member)
        best = max(edge_information(table) for table in tables)
        ratios.append(grouped_information(joint, merge_components(joint, 3)) / best)
    # Tables of pure chance are the hardest: no partition is right. The search is no enumeration,
    # so one in ten may be missed, and those by less than a twentieth.
    assert np.mean(np.array(ratios) > 1 - 1e-9) >= 0.9
    assert min(ratios) > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_no_single_component_can_be_moved_to_gain_information(seed):
    joint = random_joint(10, seed)
    labels = merge_components(joint, 3)
    best = grouped_information(joint, labels)
    for component, cluster in product(range(10), range(3)):
        moved = labels.copy()
        moved[component] = cluster
        # Moving the last one of a cluster away would leave it empty.
        if set(moved) == {0, 1, 2}:
            assert grouped_information(joint, moved) <= best + 1e-9


def planted(sizes, mixing, seed, spread=0.5):
    """Joint of components in blocks; component a has mass d_a, and edges prefer their block."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    mass = rng.lognormal(0.0, spread, size=len(blocks))
    return np.where(blocks[:, None] == blocks[None, :], 1.0, mixing) * np.outer(mass, mass), blocks


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5, 1, 4), (12, 2, 2), (1, 1, 6), (5,) * 6])
@pytest.mark.parametrize("seed", range(3))
def test_planted_blocks_are_recovered(sizes, seed):
    joint, blocks = planted(sizes, 0.2, seed)
    shuffle = np.random.default_rng(seed).permutation(len(blocks))
    found = merge_components(joint[np.ix_(shuffle, shuffle)], len(sizes))
    assert adjusted_rand_score(blocks[shuffle], found) == 1.0
    assert set(found) == set(range(len(sizes)))


def link_alone(joint, n_clusters):
    table = joint / joint.sum() + np.eye(len(joint)) * 1e-12
    return _agglomerate(table, [n_clusters], _link_loss)[n_clusters]


def test_information_recovers_blocks_of_uneven_degree_better_than_average_link():
    scores = []
    for seed in range(10):
        joint, blocks = planted((8, 8, 8), 0.05, seed, spread=1.5)
        # Two edges a pair: most components have few, and a chance edge between two of those has
        # the highest average link of all, but hardly any information.
        counts = np.triu(np.random.default_rng(seed).poisson(2 * joint / joint.mean()))
        counts = counts + np.triu(counts, 1).T
        found = merge_components(counts, 3), link_alone(counts, 3)
        scores.append([adjusted_rand_score(blocks, labels) for labels in found])
    information, link = np.mean(scores, axis=0)
    # 1 is perfect, 0 is chance. Over 30 graphs the means are 0.83 and 0.42, their standard errors
    # over ten 0.05 and 0.13.
    assert information > 0.7
    assert information > link + 0.15


def test_a_faint_bridge_between_small_components_misleads_average_link_but_not_information():
    joint, blocks = planted((4, 4), 0.01, 0, spread=0.0)
    # One component of each block has a fiftieth of the edges, and a third of those cross over.
    for small in (3, 4):
        joint[small] /= 50
        joint[:, small] /= 50
    joint[3, 4] = joint[4, 3] = joint[3].sum() / 2
    assert adjusted_rand_score(blocks, merge_components(joint, 2)) == 1.0
    assert adjusted_rand_score(blocks, link_alone(joint, 2)) < 1.0


def test_information_joins_components_that_know_the_same_others_though_not_each_other():
    blocks = np.repeat([0, 1], 3)
    joint = np.where(blocks[:, None] == blocks[None, :], 0.05, 1.0)
    assert adjusted_rand_score(blocks, merge_components(joint, 2)) == 1.0
    assert adjusted_rand_score(blocks, link_alone(joint, 2)) < 0.5


def test_merging_is_deterministic_and_leaves_its_table_alone():
    joint = random_joint(12, 0)
    before = joint.copy()
    np.testing.assert_array_equal(merge_components(joint, 4), merge_components(joint, 4))
    np.testing.assert_array_equal(joint, before)


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 5])
def test_components_without_an_edge_are_merged_too(n_clusters):
    joint = planted((3, 3), 0.1, 0)[0]
    joint[1] = joint[:, 1] = 0
    labels = merge_components(joint, n_clusters)
    assert set(labels) == set(range(n_clusters))
    if n_clusters == 2:
        used = [0, 2, 3, 4, 5]
        assert adjusted_rand_score(np.array([0, 0, 1, 1, 1]), labels[used]) == 1.0


@pytest.mark.parametrize("n_clusters", [6, 9])
def test_as_many_clusters_as_components_leave_each_alone(n_clusters):
    np.testing.assert_array_equal(merge_components(random_joint(6, 0), n_clusters), np.arange(6))
