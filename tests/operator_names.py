"""The operators of torch's `op_db` that are in atrous' scope, by family."""

FAMILIES = {
    "convolution": """
        nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
        nn.functional.conv_transpose1d nn.functional.conv_transpose2d
        nn.functional.conv_transpose3d nn.functional.unfold
    """,
    "pooling": """
        nn.functional.max_pool1d nn.functional.max_pool2d nn.functional.max_pool3d
        nn.functional.avg_pool1d nn.functional.avg_pool2d nn.functional.avg_pool3d
        nn.functional.adaptive_avg_pool1d nn.functional.adaptive_avg_pool2d
        nn.functional.adaptive_avg_pool3d nn.functional.adaptive_max_pool1d
        nn.functional.adaptive_max_pool2d nn.functional.adaptive_max_pool3d
        nn.functional.max_unpool1d nn.functional.max_unpool1d.grad
        nn.functional.max_unpool2d nn.functional.max_unpool2d.grad
        nn.functional.max_unpool3d nn.functional.max_unpool3d.grad
    """,
    "normalisation": """
        nn.functional.batch_norm
        nn.functional.instance_norm nn.functional.group_norm nn.functional.layer_norm
        nn.functional.rms_norm nn.functional.local_response_norm nn.functional.normalize
    """,
    "loss": """
        nn.functional.cross_entropy nn.functional.nll_loss nn.functional.mse_loss
        nn.functional.binary_cross_entropy nn.functional.l1_loss
        nn.functional.binary_cross_entropy_with_logits nn.functional.smooth_l1_loss
        nn.functional.huber_loss nn.functional.kl_div
        nn.functional.cosine_similarity nn.functional.pairwise_distance
        nn.functional.soft_margin_loss nn.functional.margin_ranking_loss
        nn.functional.multi_margin_loss nn.functional.multilabel_margin_loss
        nn.functional.multilabel_soft_margin_loss
        nn.functional.triplet_margin_loss
        nn.functional.triplet_margin_with_distance_loss
        nn.functional.cosine_embedding_loss nn.functional.gaussian_nll_loss
        nn.functional.hinge_embedding_loss nn.functional.poisson_nll_loss
        nn.functional.pdist
    """,
    "activation": """
        nn.functional.relu nn.functional.relu6 nn.functional.leaky_relu
        nn.functional.prelu nn.functional.elu nn.functional.selu nn.functional.celu
        nn.functional.gelu nn.functional.silu nn.functional.mish nn.functional.softplus
        nn.functional.softsign nn.functional.hardtanh nn.functional.hardsigmoid
        nn.functional.hardswish nn.functional.hardshrink nn.functional.softshrink
        nn.functional.tanhshrink nn.functional.threshold nn.functional.logsigmoid
        nn.functional.glu nn.functional.softmin nn.functional.softmin.with_dtype
        softmax softmax.with_dtype log_softmax log_softmax.with_dtype sigmoid tanh
    """,
    "padding and resampling": """
        nn.functional.pad.constant nn.functional.pad.reflect
        nn.functional.pad.replicate nn.functional.pad.replicate_negative
        nn.functional.pad.circular constant_pad_nd
        nn.functional.interpolate.nearest nn.functional.interpolate.nearest-exact
        nn.functional.interpolate.linear nn.functional.interpolate.bilinear
        nn.functional.interpolate.trilinear nn.functional.interpolate.bicubic
        nn.functional.interpolate.area nn.functional.upsample_nearest
        nn.functional.upsample_bilinear nn.functional.pixel_shuffle
        nn.functional.pixel_unshuffle
        nn.functional.channel_shuffle
    """,
    "layers": """
        nn.functional.linear nn.functional.embedding nn.functional.one_hot
        nn.functional.bilinear nn.functional.embedding_bag
    """,
    "comparison": """
        eq ne lt le gt ge equal isclose allclose maximum minimum fmax fmin
        max.binary min.binary isnan isinf isfinite isposinf isneginf
        logical_and logical_or logical_xor logical_not
    """,
    "reduction": """
        sum mean prod amax amin aminmax argmax argmin all any count_nonzero
        max.reduction_no_dim max.reduction_with_dim
        min.reduction_no_dim min.reduction_with_dim std std.unbiased var var.unbiased
        std_mean var_mean std_mean.unbiased var_mean.unbiased median logsumexp
        norm norm.inf norm.fro linalg.vector_norm nansum nanmean
        cumsum cumprod cummax cummin
        logcumsumexp nanmedian quantile nanquantile mode kthvalue dist histc
        linalg.norm linalg.matrix_norm linalg.norm.subgradients_at_zero
    """,
    "arithmetic": """
        add sub mul div.no_rounding_mode div.floor_rounding div.trunc_rounding
        true_divide floor_divide remainder fmod pow float_power rsub neg positive abs
        sign sgn reciprocal sqrt rsqrt square exp exp2 expm1 log log2 log10 log1p
        sin cos tan asin acos atan atan2 sinh cosh asinh acosh atanh
        erf erfc floor ceil round round.decimals_0 round.decimals_3
        round.decimals_neg_3 trunc frac clamp clamp_min clamp_max lerp
        addcmul addcdiv logaddexp hypot copysign xlogy nan_to_num signbit heaviside
        deg2rad rad2deg bitwise_and bitwise_or bitwise_xor bitwise_not
        __radd__ __rsub__ __rmul__ __rpow__ __rmod__ __rand__ __ror__ __rxor__
    """,
    "matrix": """
        matmul mm bmm mv dot inner outer einsum addmm addmm.decomposed baddbmm addmv
        __rmatmul__ tensordot trace linalg.vecdot
        addbmm vdot addr kron linalg.multi_dot block_diag
    """,
    "indexing": """
        __getitem__ index_select index_add index_copy index_fill index_put gather
        scatter scatter_add scatter_reduce.sum scatter_reduce.amax
        scatter_reduce.amin scatter_reduce.mean scatter_reduce.prod
        masked_fill masked_select masked_scatter take take_along_dim where nonzero
        argwhere select narrow topk sort argsort msort unique unique_consecutive
        searchsorted bucketize bincount isin diag diagonal diag_embed tril triu
        tril_indices triu_indices
        put select_scatter slice_scatter narrow_copy diagflat
    """,
    "shape": """
        cat stack hstack vstack dstack column_stack split split.list_args
        split_with_sizes chunk tensor_split unbind reshape reshape_as view view_as
        flatten ravel unflatten squeeze squeeze.multiple unsqueeze permute transpose t
        movedim expand expand_as broadcast_to broadcast_tensors broadcast_shapes repeat
        repeat_interleave tile flip fliplr flipud roll rot90 unfold contiguous clone
        atleast_1d atleast_2d atleast_3d meshgrid.list_of_tensors
        meshgrid.variadic_tensors sum_to_size T mT diff cartesian_prod
        fill zero_ item
        hsplit vsplit dsplit combinations
    """,
    "creation and types": """
        zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full
        arange linspace linspace.tensor_overload eye scalar_tensor logspace
        to float double half bfloat16 int long short char byte bool
        logspace.tensor_overload
    """,
    "random": """
        randn randn_like rand_like randint randint_like normal uniform normal.in_place
        normal.number_mean
    """,
}

OPERATORS = [name for text in FAMILIES.values() for name in text.split()]
