"""Which operations cost no multiply-accumulates, by convention.

MACs are convolutions, matrix products, attention and recurrent cells. Free are elementwise work, reductions, norms,
pooling, interpolation, lookups, sorting, copies, views, random numbers and quantization. Free by convention, though
they compute, are the Fourier transform and the factorizations and solvers of `torch.linalg`: how many
multiply-accumulates they take depends on the algorithm that the library chooses.

PyTorch's own operator tags say of most operations that they are elementwise, a reduction or a view; the names below are
those that the tags leave open, as reviewed for torch 2.8 to 2.14.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import torch

_TAGS = frozenset(
    tag
    for name in ("pointwise", "reduction", "view_copy", "inplace_view")
    if (tag := getattr(torch.Tag, name, None)) is not None  # older versions have fewer
)

_CREATION = """
arange bartlett_window blackman_window complex copy empty empty_like empty_permuted empty_quantized empty_strided eye
fft_fftfreq fft_rfftfreq fill from_file full full_like hamming_window hann_window kaiser_window lift lift_fresh
linspace logspace new_empty new_empty_strided new_full new_ones new_zeros ones ones_like polar range scalar_tensor
tril_indices triu_indices zero zeros zeros_like _efficientzerotensor _empty_affine_quantized
_empty_per_channel_affine_quantized _new_zeros_with_same_feature_meta
"""
_RANDOM = """
bernoulli binomial cauchy exponential geometric log_normal multinomial native_dropout normal normal_functional poisson
rand rand_like randint randint_like randn randn_like random randperm rrelu_with_noise uniform
_cudnn_init_dropout_state _dirichlet_grad _fill_mem_eff_dropout_mask _fused_dropout _masked_scale _philox_key_fold_in
_philox_key_split _philox_normal _philox_uniform _sample_dirichlet _standard_gamma _standard_gamma_grad
"""
_COPIES_AND_LAYOUT = """
as_strided_scatter block_diag cat channel_shuffle clone col2im constant_pad_nd copy_sparse_to_sparse detach diag_embed
diagonal_scatter flip im2col masked_scatter permute pixel_shuffle pixel_unshuffle record_stream reflection_pad1d
reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d
resize resize_as resize_as_sparse roll rot90 select_scatter set shallow_copy_data slice_scatter stack to_mkldnn
to_padded_tensor tril triu unsafe_split unsafe_split_with_sizes _chunk_cat _copy_from _copy_from_and_resize
_lazy_clone _mkldnn_reshape _mkldnn_transpose _pack_padded_sequence _pin_memory _reshape_copy _resize_output _stack
_to_copy _to_dense _unsafe_view
"""
_LOOKUPS_AND_ORDER = """
bincount bucketize embedding embedding_dense embedding_renorm gather histc histogram index index_add index_copy
index_fill index_put index_reduce index_select isin kthvalue masked_fill masked_select median mode nanmedian nonzero
nonzero_static put scatter scatter_add scatter_reduce searchsorted segment_reduce sort take topk trace
unique_consecutive unique_dim unique_dim_consecutive _embedding_bag _embedding_bag_dense _embedding_bag_forward_only
_embedding_bag_per_sample_weights _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors
_index_put_impl _segment_reduce _unique _unique2 _unsafe_index _unsafe_index_put _unsafe_masked_index
_unsafe_masked_index_put_accumulate
"""
_ELEMENTWISE_AND_REDUCTIONS = """
abs all allclose amax amin aminmax any argmax argmin clamp copysign count_nonzero cummax cummin cumprod cumsum dist eq
equal floor_divide frexp gcd ge gelu glu gt hardswish hash_tensor heaviside lcm le leaky_relu linalg__powsum
linalg_cross linalg_vector_norm log_sigmoid log_softmax logcumsumexp logsumexp lt max mean min mish nansum native_norm
ne norm prod renorm rsub softmax std std_mean sum threshold var var_mean where xlogy __ilshift __irshift __lshift
__rshift _add_relu _aminmax _conj_physical _cummax_helper _cummin_helper _log_softmax _logcumsumexp _masked_softmax
_nested_tensor_softmax_with_shape _prelu_kernel _safe_softmax _softmax _thnn_fused_gru_cell _thnn_fused_lstm_cell
_transform_bias_rescale_qkv
"""
_NORMS = """
batch_norm batch_norm_elemt batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats
batch_norm_update_stats cudnn_batch_norm miopen_batch_norm native_batch_norm native_group_norm native_layer_norm
quantized_batch_norm _batch_norm_no_update _batch_norm_with_update _fused_rms_norm _native_batch_norm_legit
_native_batch_norm_legit_no_training _weight_norm_interface
"""
_POOLING_AND_INTERPOLATION = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d
avg_pool2d avg_pool3d cudnn_grid_sampler fractional_max_pool2d fractional_max_pool3d grid_sampler_2d grid_sampler_3d
max_pool2d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d max_unpool3d mkldnn_adaptive_avg_pool2d
mkldnn_max_pool2d mkldnn_max_pool3d quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d upsample_bicubic2d
upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
_adaptive_avg_pool2d _adaptive_avg_pool3d _grid_sampler_2d_cpu_fallback _upsample_bicubic2d_aa _upsample_bilinear2d_aa
_upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
"""
_LOSSES = """
binary_cross_entropy binary_cross_entropy_with_logits huber_loss miopen_ctc_loss mse_loss multi_margin_loss
multilabel_margin_loss nll_loss nll_loss2d smooth_l1_loss soft_margin_loss _ctc_loss _cudnn_ctc_loss
_use_cudnn_ctc_loss _use_miopen_ctc_loss
"""
_FOURIER_AND_FACTORIZATIONS = """
cholesky cholesky_inverse cholesky_solve geqrf linalg_cholesky_ex linalg_eig linalg_eigvals linalg_householder_product
linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq linalg_lu linalg_lu_factor_ex linalg_lu_solve
linalg_matrix_exp linalg_matrix_sqrth linalg_pinv linalg_polar linalg_qr linalg_solve_triangular lu_unpack ormqr
triangular_solve _cholesky_solve_helper _fft_c2c _fft_c2r _fft_r2c _linalg_check_errors _linalg_det _linalg_eigh
_linalg_eigvals _linalg_slogdet _linalg_solve_ex _linalg_svd
"""
_QUANTIZATION = """
dequantize fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask int_repr
mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight q_per_channel_axis q_per_channel_scales
q_per_channel_zero_points q_scale q_zero_point qscheme quantize_per_channel quantize_per_tensor
quantize_per_tensor_dynamic _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu _cslt_compress
_dyn_quant_pack_4bit_weight _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine
_fake_quantize_per_tensor_affine_cachemask_tensor_qparams _fused_moving_avg_obs_fq_helper
_make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor
"""
_SPARSE_AND_NESTED = """
dense_dim is_coalesced sparse_compressed_tensor sparse_coo_tensor sparse_dim sparse_mask sparse_resize
sparse_resize_and_clear _coalesce _coalesced _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo _dimI
_dimV _jagged_to_padded_dense_forward _nested_compute_contiguous_strides_offsets _nested_from_padded
_nested_from_padded_and_nested_example _nested_from_padded_tensor _nested_get_jagged_dummy _nested_get_lengths
_nested_get_max_seqlen _nested_get_min_seqlen _nested_get_offsets _nested_get_ragged_idx _nested_get_values
_nested_select _nested_sum _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
_nested_tensor_from_tensor_list _nested_tensor_size _nested_tensor_storage_offsets _nested_tensor_strides _nnz
_padded_dense_to_jagged_forward _sparse_compressed_tensor_with_dims _sparse_coo_tensor_with_dims
_sparse_coo_tensor_with_dims_and_tensors _sparse_csr_prod _sparse_csr_sum _sparse_log_softmax _sparse_mask_projection
_sparse_semi_structured_apply _sparse_semi_structured_apply_dense _sparse_semi_structured_tile _sparse_softmax
_sparse_sum _spdiags _spsolve _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc _to_sparse_csr
_to_sparse_semi_structured _validate_compressed_sparse_indices
"""
_QUESTIONS = """
is_pinned is_same_size is_set_to sym_constrain_range sym_constrain_range_for_size _assert_async _assert_scalar
_assert_tensor_metadata _cudnn_rnn_flatten_weight _functional_assert_async _functional_assert_scalar
_functional_sym_constrain_range _functional_sym_constrain_range_for_size _fused_sdp_choice
_has_compatible_shallow_copy_type _has_same_storage_numel _is_all_true _is_any_true _local_scalar_dense
_make_dep_token _print
"""
_OPTIMIZERS = """
_amp_foreach_non_finite_check_and_unscale _amp_update_scale _fused_adagrad _fused_adam _fused_adamw _fused_sgd
"""
_NAMES = frozenset(
    " ".join(
        (
            *(_CREATION, _RANDOM, _COPIES_AND_LAYOUT, _LOOKUPS_AND_ORDER, _ELEMENTWISE_AND_REDUCTIONS, _NORMS),
            *(_POOLING_AND_INTERPOLATION, _LOSSES, _FOURIER_AND_FACTORIZATIONS, _QUANTIZATION, _SPARSE_AND_NESTED),
            *(_QUESTIONS, _OPTIMIZERS),
        )
    ).split()
)

# Of other libraries: torchvision's sampling and suppression, and what quantized models do between their layers.
_SAMPLING = """
nms roi_align roi_pool ps_roi_align ps_roi_pool _roi_align_backward _roi_pool_backward _ps_roi_align_backward
_ps_roi_pool_backward
"""
_BETWEEN_QUANTIZED_LAYERS = """
add add_relu add_scalar add_scalar_relu batch_norm batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu
batch_norm3d batch_norm3d_relu cat cat_relu celu clamp dropout elu embedding_4bit embedding_bag_2bit_rowwise_offsets
embedding_bag_4bit embedding_bag_4bit_rowwise_offsets embedding_bag_byte embedding_bag_byte_rowwise_offsets
embedding_byte group_norm hardswish instance_norm layer_norm leaky_relu max_pool1d max_pool2d mul mul_out mul_relu
mul_scalar mul_scalar_relu prelu relu6 sigmoid softmax tanh threshold
"""
_OTHERS = {
    "torchvision": frozenset(_SAMPLING.split()),
    "quantized": frozenset(_BETWEEN_QUANTIZED_LAYERS.split()),
}

# The interpreter's and the compiler's small parts, the profiler's marks, and what sends tensors to other processes.
_FREE_LIBRARIES = frozenset(("prim", "prims", "profiler", "c10d", "c10d_functional", "_c10d_functional"))

# The forms of one operation: in place, for the backward pass, and as PyTorch's compiler sees it.
_FORM = re.compile(r"_(backward(_.*)?|forward|functional|jvp|copy)$")


@functools.cache
def is_free(func: Any) -> bool:
    """Whether an overload without a formula costs no MACs by convention."""
    if func.namespace in _OTHERS:
        return str(func.overloadpacket.__name__) in _OTHERS[func.namespace]
    if func.namespace in _FREE_LIBRARIES:
        return True
    if func.namespace != "aten":
        return False
    name: str = func.overloadpacket.__name__.rstrip("_")
    if name.startswith("_foreach_"):
        return name != "_foreach_mm"
    form = _FORM.sub("", name)
    return not _NAMES.isdisjoint((name, form)) or _is_tagged(name) or _is_tagged(form)


def _is_tagged(name: str) -> bool:
    """Whether PyTorch says of an operation of ATen, or of its form in place, that it is elementwise or a view.

    The tags stand on some overloads of an operation and are left out on others (of scalars, or with ``out``).
    """
    packets = (getattr(torch.ops.aten, each, None) for each in (name, f"{name}_"))
    overloads = (getattr(packet, each) for packet in packets if packet for each in packet.overloads())
    return any(overload.is_view or not _TAGS.isdisjoint(overload.tags) for overload in overloads)
