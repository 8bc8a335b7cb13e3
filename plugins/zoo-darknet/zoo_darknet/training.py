"""Options that only say how Darknet trains, which this passes over: of `[net]`, and of layers with a loss."""

from __future__ import annotations

LOSS = tuple(
    "jitter resize random ignore_thresh truth_thresh iou_thresh thresh rescore object_scale noobject_scale class_scale "
    "coord_scale mask_scale bias_match absolute classfix max log sqrt iou_normalizer obj_normalizer cls_normalizer "
    "delta_normalizer uc_normalizer iou_loss iou_thresh_kind max_delta label_smooth_eps objectness_smooth focal_loss "
    "counters_per_class nms_kind beta_nms show_details forced map track_history_size sim_thresh dets_for_track "
    "dets_for_show track_ciou_norm embedding_layer".split()
)
NET = tuple(
    "batch subdivisions time_steps momentum decay learning_rate learning_rate_min policy power gamma step steps scale "
    "scales seq_scales max_batches burn_in adam B1 B2 eps beta1 angle saturation exposure hue aspect flip max_crop "
    "min_crop max_ratio min_ratio center clip random notruth mosaic mosaic_bound cutmix mixup blur gaussian_noise "
    "letter_box resize_step ema_alpha sgdr_cycle sgdr_mult loss_scale dynamic_minibatch optimized_memory "
    "workspace_size_limit_MB try_fix_nan track augment_speed sequential_subdivisions use_cuda_graph "
    "weights_reject_freq equidistant_point badlabels_rejection_percentage num_sigmas_reject_badlabels "
    "label_smooth_eps attention adversarial_lr max_chart_loss contrastive contrastive_jit_flip contrastive_color "
    "unsupervised seen".split()
)
