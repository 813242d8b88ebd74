eckart svd two.npz::rigth
