eckart svd S.npy --engine als --rank 2 --weights S.npy
