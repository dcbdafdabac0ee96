"""Operations that a SavedModel may hold. savedmodel_check.py rejects all others.

Each operation of the lists computes its outputs from its inputs and from variables in memory. None reads or writes a
file, prints, opens a connection, calls Python or loads a library.
"""

from __future__ import annotations

_SERVING = (
    # Constants, shapes and the order of axes.
    """
    BroadcastArgs BroadcastGradientArgs BroadcastTo Concat ConcatOffset ConcatV2 Const DataFormatDimMap
    DataFormatVecPermute DeepCopy Empty EnsureShape ExpandDims Fill GuaranteeConst Identity IdentityN InvertPermutation
    LinSpace NoOp OneHot OnesLike Pack ParallelConcat Placeholder PlaceholderWithDefault PreventGradient Range Rank
    Reshape Reverse ReverseSequence ReverseV2 Roll Shape ShapeN Size Slice Snapshot Split SplitV Squeeze Stack
    StopGradient StridedSlice Tile Transpose Unpack UnravelIndex VariableShape ZerosLike
    """
    # Selection and scattering.
    """
    Bincount Bucketize ClipByValue DenseBincount DynamicPartition DynamicStitch Gather GatherNd GatherV2 InTopK InTopKV2
    ListDiff LowerBound NthElement ParallelDynamicStitch ScatterNd ScatterNdNonAliasingAdd SegmentMax SegmentMaxV2
    SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2
    TensorScatterAdd TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate
    TopK TopKV2 Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 UnsortedSegmentMax UnsortedSegmentMin
    UnsortedSegmentProd UnsortedSegmentSum UpperBound Where HistogramFixedWidth
    """
    # Arithmetic, comparison and rounding.
    """
    Abs AccumulateNV2 Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh BesselI0 BesselI0e
    BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0 BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Betainc Bitcast
    BitwiseAnd BitwiseOr BitwiseXor Cast Ceil Complex ComplexAbs Conj Cos Cosh Cross Dawsn Digamma Div DivNoNan Equal
    Erf Erfc Erfinv Exp Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual Igamma Igammac
    Imag Inv Invert IsFinite IsInf IsNan LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr
    Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow Real RealDiv Reciprocal
    RightShift Rint Round Rsqrt Sign Sin Sinh Spence Sqrt Square SquaredDifference Sub Tan Tanh ToBool TruncateDiv
    TruncateMod Xdivy Xlog1py Xlogy Zeta
    """
    # Reduction and linear algebra.
    """
    All Any ArgMax ArgMin BandedTriangularSolve BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky ConjugateTranspose
    CumulativeLogsumexp Cumprod Cumsum Diag DiagPart Eig Einsum EuclideanNorm FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT
    IRFFT2D IRFFT3D L2Loss LogMatrixDeterminant Lu MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart
    MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Max
    Mean Min Prod Qr RFFT RFFT2D RFFT3D SelfAdjointEigV2 Sum Svd TridiagonalMatMul TridiagonalSolve
    """
    # Layers: convolution, pooling, normalisation, activation, recurrence.
    """
    AvgPool AvgPool3D BatchNormWithGlobalNormalization BatchToSpace BatchToSpaceND BiasAdd BiasAddV1 BlockLSTM
    BlockLSTMV2 Conv Conv2D Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput Conv3DBackpropInputV2
    CudnnRNN CudnnRNNCanonicalToParamsV2 CudnnRNNV2 CudnnRNNV3 DepthToSpace DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropInput Dilation2D Elu FractionalAvgPool FractionalMaxPool FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D GRUBlockCell LRN LSTMBlockCell LeakyRelu
    LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax MirrorPad Pad PadV2 Relu Relu6 Selu Sigmoid Softmax
    Softplus Softsign SpaceToBatch SpaceToBatchND SpaceToDepth
    """
    # Images: resizing, cropping, colours; image files in string tensors are decoded in memory.
    """
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize DecodeAndCropJpeg
    DecodeBase64 DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw DecodeWebP ExtractGlimpse
    ExtractGlimpseV2 ExtractImagePatches ExtractJpegShape ExtractVolumePatches HSVToRGB ImageProjectiveTransformV2
    ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4
    NonMaxSuppressionV5 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor
    SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate StatelessSampleDistortedBoundingBox
    """
    # Quantised tensors.
    """
    Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
    QuantizeAndDequantize QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
    QuantizeDownAndShrinkRange QuantizeV2 QuantizedAdd QuantizedAvgPool QuantizedBiasAdd QuantizedConcat
    QuantizedConcatV2 QuantizedConv2D QuantizedInstanceNorm QuantizedMatMul QuantizedMaxPool QuantizedMul QuantizedRelu
    QuantizedRelu6 QuantizedReluX QuantizedReshape QuantizedResizeBilinear RequantizationRange Requantize
    UniformDequantize UniformQuantize UniformQuantizedAdd UniformQuantizedClipByValue UniformQuantizedConvolution
    UniformQuantizedConvolutionHybrid UniformQuantizedDot UniformQuantizedDotHybrid UniformRequantize
    """
    # Random numbers.
    """
    Multinomial ParameterizedTruncatedNormal RandomGamma RandomIndexShuffle RandomPoissonV2 RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip StatefulRandomBinomial
    StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt StatefulUniformInt
    StatelessMultinomial StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
    StatelessRandomGammaV3 StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg
    StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform
    StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
    StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
    """
    # Control flow, calls of the model's own functions, lists of tensors.
    """
    Assert Case CheckNumerics CheckNumericsV2 ControlTrigger EmptyTensorList Enter Exit FakeParam For If LoopCond Merge
    NextIteration PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile Switch
    TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
    TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2
    TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack
    TensorListPushBack TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter
    TensorListScatterIntoExistingList TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack While
    """
    # Variables, only read.
    """
    DisableCopyOnRead IsVariableInitialized ReadVariableOp ResourceGather ResourceGatherNd VarHandleOp
    VarIsInitializedOp Variable VariableV2
    """
)

# Operations that any function may hold, including those that a signature calls.
SERVING = frozenset(_SERVING.split())

_WRITING = """
    Assign AssignAdd AssignAddVariableOp AssignSub AssignSubVariableOp AssignVariableOp DestroyResourceOp
    ResourceScatterAdd ResourceScatterSub ResourceScatterUpdate ResourceStridedSliceAssign
"""

# Operations that write variables in memory, as initialisers and training do. Functions that no signature calls may hold
# them too; in a signature they would carry information from one image to the next.
WRITING = frozenset(_WRITING.split())

# The saver's restore function may also read the SavedModel's own variables.
RESTORING = frozenset({"RestoreV2"})

# The saver's save function may also hold these. Nothing runs it.
SAVING = frozenset({"MergeV2Checkpoints", "Select", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"})
