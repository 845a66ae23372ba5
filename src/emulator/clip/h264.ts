import { BitWriter } from './bit-writer.js';

/** Samples of a picture in 4:2:0, limited range; width and height (of luma) are multiples of 16. */
export interface YuvPicture {
  readonly width: number;
  readonly height: number;
  readonly y: Uint8Array;
  readonly cb: Uint8Array;
  readonly cr: Uint8Array;
}

/** Shape of a video. */
export interface VideoFormat {
  /** Width in pixels, even. */
  readonly width: number;
  /** Height in pixels, even. */
  readonly height: number;
  /** Frames per second. */
  readonly fps: number;
}

/** One frame in AVCC form: an access unit with a length prefix of four bytes. */
interface H264Sample {
  readonly data: Uint8Array;
  readonly isKey: boolean;
}

/** An encoded stream and what a muxer needs to describe it. */
export interface H264Stream {
  readonly samples: readonly H264Sample[];
  /** RFC 6381 codec string. */
  readonly codec: string;
  /** AVCDecoderConfigurationRecord. */
  readonly description: Uint8Array;
}

/** Whether later frames may refer to a frame. */
type Reference = 'reference' | 'disposable';

/** `mb_type` of a macroblock of plain samples, in an I slice and in a P slice (tables 7-11 and 7-13). */
const I_PCM = { I: 25, P: 5 + 25 } as const;

/** Number of macroblocks across and down. */
export function macroblocksOf({ width, height }: Pick<VideoFormat, 'width' | 'height'>): {
  columns: number;
  rows: number;
} {
  return { columns: Math.ceil(width / 16), rows: Math.ceil(height / 16) };
}

/** Writes one macroblock of a picture as plain samples (I_PCM). */
export function writePcm(bits: BitWriter, slice: 'I' | 'P', picture: YuvPicture, column = 0, row = 0): void {
  bits.ue(I_PCM[slice]);
  bits.align();
  const { width, y, cb, cr } = picture;
  const write = (plane: Uint8Array, stride: number, size: number): void => {
    let at = row * size * stride + column * size;
    for (let line = 0; line < size; line++, at += stride) bits.bytes(plane.subarray(at, at + size));
  };
  write(y, width, 16);
  write(cb, width / 2, 8);
  write(cr, width / 2, 8);
}

/**
 * Builds a stream frame by frame: Constrained Baseline, CAVLC, one slice per frame, one reference frame, no deblocking.
 * The caller writes the macroblocks of each frame; this class writes headers and parameter sets.
 */
export class H264Builder {
  readonly #samples: H264Sample[] = [];
  readonly #sps: Uint8Array;
  readonly #pps: Uint8Array;
  #keyFrames = 0;
  #framesSinceKey = 0;
  /** `frame_num`: reference frames since the key frame, that one included. */
  #referencesSinceKey = 0;

  constructor(format: VideoFormat) {
    this.#sps = sequenceParameterSet(format);
    this.#pps = pictureParameterSet();
  }

  /** Adds a key frame: an I slice, before which no reference is kept. */
  addKeyFrame(writeMacroblocks: (bits: BitWriter) => void): void {
    const bits = new BitWriter();
    bits.ue(0); // first_mb_in_slice
    bits.ue(7); // slice_type: I, as all slices of the frame
    bits.ue(0); // pic_parameter_set_id
    bits.u(0, 8); // frame_num
    bits.ue(this.#keyFrames++ & 1); // idr_pic_id: differs from that of the key frame before
    bits.u(0, 16); // pic_order_cnt_lsb
    bits.u(0, 1); // no_output_of_prior_pics_flag
    bits.u(0, 1); // long_term_reference_flag
    bits.se(0); // slice_qp_delta
    bits.ue(1); // disable_deblocking_filter_idc
    writeMacroblocks(bits);
    this.#addSample(bits.finish(0x65), true);
    this.#framesSinceKey = 1;
    this.#referencesSinceKey = 1;
  }

  /** Adds a frame that refers to the latest reference frame: a P slice. */
  addDeltaFrame(reference: Reference, writeMacroblocks: (bits: BitWriter) => void): void {
    const isReference = reference === 'reference';
    const bits = new BitWriter();
    bits.ue(0); // first_mb_in_slice
    bits.ue(5); // slice_type: P, as all slices of the frame
    bits.ue(0); // pic_parameter_set_id
    bits.u(this.#referencesSinceKey & 0xff, 8); // frame_num
    bits.u(2 * this.#framesSinceKey++, 16); // pic_order_cnt_lsb: counts fields
    bits.u(0, 1); // num_ref_idx_active_override_flag
    bits.u(0, 1); // ref_pic_list_modification_flag_l0
    if (isReference) bits.u(0, 1); // adaptive_ref_pic_marking_mode_flag: the new reference replaces the old one
    bits.se(0); // slice_qp_delta
    bits.ue(1); // disable_deblocking_filter_idc
    writeMacroblocks(bits);
    this.#addSample(bits.finish(isReference ? 0x61 : 0x01), false);
    if (isReference) this.#referencesSinceKey++;
  }

  /** Returns the stream of the frames so far. */
  build(): H264Stream {
    const [sps, pps] = [this.#sps, this.#pps];
    const profile = sps.subarray(1, 4);
    return {
      samples: this.#samples,
      codec: `avc1.${Buffer.from(profile).toString('hex')}`,
      description: Uint8Array.of(1, ...profile, 0xff, 0xe1, 0, sps.length, ...sps, 1, 0, pps.length, ...pps),
    };
  }

  #addSample(unit: Uint8Array, isKey: boolean): void {
    const data = new Uint8Array(4 + unit.length);
    new DataView(data.buffer).setUint32(0, unit.length);
    data.set(unit, 4);
    this.#samples.push({ data, isKey });
  }
}

/** ITU-T H.264, 7.3.2.1.1 and E.1.1. */
function sequenceParameterSet(format: VideoFormat): Uint8Array {
  const { columns, rows } = macroblocksOf(format);
  const bits = new BitWriter();
  bits.u(66, 8); // profile_idc: Baseline
  bits.u(0xc0, 8); // constraint_set0_flag and constraint_set1_flag: Constrained Baseline
  bits.u(levelOf(columns * rows), 8); // level_idc
  bits.ue(0); // seq_parameter_set_id
  bits.ue(8 - 4); // log2_max_frame_num_minus4
  bits.ue(0); // pic_order_cnt_type: the order is written in each slice
  bits.ue(16 - 4); // log2_max_pic_order_cnt_lsb_minus4
  bits.ue(1); // max_num_ref_frames
  bits.u(0, 1); // gaps_in_frame_num_value_allowed_flag
  bits.ue(columns - 1); // pic_width_in_mbs_minus1
  bits.ue(rows - 1); // pic_height_in_map_units_minus1
  bits.u(1, 1); // frame_mbs_only_flag
  bits.u(1, 1); // direct_8x8_inference_flag
  bits.u(1, 1); // frame_cropping_flag
  bits.ue(0); // frame_crop_left_offset
  bits.ue((columns * 16 - format.width) / 2); // frame_crop_right_offset
  bits.ue(0); // frame_crop_top_offset
  bits.ue((rows * 16 - format.height) / 2); // frame_crop_bottom_offset
  bits.u(1, 1); // vui_parameters_present_flag
  bits.u(0, 1); // aspect_ratio_info_present_flag
  bits.u(0, 1); // overscan_info_present_flag
  bits.u(1, 1); // video_signal_type_present_flag
  bits.u(5, 3); // video_format: unspecified
  bits.u(0, 1); // video_full_range_flag
  bits.u(1, 1); // colour_description_present_flag
  for (let i = 0; i < 3; i++) bits.u(1, 8); // colour primaries, transfer, matrix: BT.709
  bits.u(0, 1); // chroma_loc_info_present_flag
  bits.u(1, 1); // timing_info_present_flag
  bits.u(1, 32); // num_units_in_tick
  bits.u(format.fps * 2, 32); // time_scale: in fields
  bits.u(1, 1); // fixed_frame_rate_flag
  bits.u(0, 1); // nal_hrd_parameters_present_flag
  bits.u(0, 1); // vcl_hrd_parameters_present_flag
  bits.u(0, 1); // pic_struct_present_flag
  bits.u(1, 1); // bitstream_restriction_flag
  bits.u(1, 1); // motion_vectors_over_pic_boundaries_flag
  bits.ue(0); // max_bytes_per_pic_denom: no limit
  bits.ue(0); // max_bits_per_mb_denom: no limit
  bits.ue(10); // log2_max_mv_length_horizontal
  bits.ue(10); // log2_max_mv_length_vertical
  bits.ue(0); // max_num_reorder_frames: each frame is shown as soon as it is decoded
  bits.ue(1); // max_dec_frame_buffering
  return bits.finish(0x67);
}

/** Smallest level whose frame size holds so many macroblocks (table A-1): 3.1, 4.0 or 5.1. */
function levelOf(macroblocks: number): number {
  if (macroblocks > 8192) return 51;
  return macroblocks > 3600 ? 40 : 31;
}

/** ITU-T H.264, 7.3.2.2. */
function pictureParameterSet(): Uint8Array {
  const bits = new BitWriter();
  bits.ue(0); // pic_parameter_set_id
  bits.ue(0); // seq_parameter_set_id
  bits.u(0, 1); // entropy_coding_mode_flag: CAVLC
  bits.u(0, 1); // bottom_field_pic_order_in_frame_present_flag
  bits.ue(0); // num_slice_groups_minus1
  bits.ue(0); // num_ref_idx_l0_default_active_minus1
  bits.ue(0); // num_ref_idx_l1_default_active_minus1
  bits.u(0, 1); // weighted_pred_flag
  bits.u(0, 2); // weighted_bipred_idc
  bits.se(0); // pic_init_qp_minus26
  bits.se(0); // pic_init_qs_minus26
  bits.se(0); // chroma_qp_index_offset
  bits.u(1, 1); // deblocking_filter_control_present_flag
  bits.u(0, 1); // constrained_intra_pred_flag
  bits.u(0, 1); // redundant_pic_cnt_present_flag
  return bits.finish(0x68);
}
